//! Compiler flags: the user's own by cargo's precedence, then ours.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use camino::Utf8Path;
use cargo_config2::{Config, ResolveOptions};

use crate::workspace::settings::Linkage;
use crate::workspace::target::RustTarget;

/// The rustflags that cargo would use for `triple` here: environment, then config files.
pub(crate) fn host_rustflags(root: &Utf8Path, triple: &str) -> Result<Vec<String>> {
    rustflags(Config::load_with_cwd(root), triple)
}

/// The rustflags of the workspace's own config files; nothing of this machine's.
///
/// # Errors
/// A flag with a space in it, which no Dockerfile can say.
pub(crate) fn workspace_rustflags(root: &Utf8Path, triple: &str) -> Result<Vec<String>> {
    let nothing: [(&str, &str); 0] = [];
    let options = ResolveOptions::default().env(nothing).cargo_home(None);
    let flags = rustflags(Config::load_with_options(root, options), triple)?;
    if let Some(flag) = flags.iter().find(|flag| flag.contains(char::is_whitespace)) {
        bail!("rustflag `{flag}` of the cargo config has a space in it, which a Dockerfile cannot pass on");
    }
    Ok(flags)
}

fn rustflags(config: Result<Config, cargo_config2::Error>, triple: &str) -> Result<Vec<String>> {
    let config = config.context("cannot read the cargo configuration")?;
    let flags = config.rustflags(triple).context("cannot read rustflags from the cargo configuration")?;
    Ok(flags.map(|flags| flags.flags).unwrap_or_default())
}

/// The linker that the cargo configuration names for `triple`.
pub(crate) fn configured_linker(root: &Utf8Path, triple: &str) -> Result<bool> {
    let config = Config::load_with_cwd(root).context("cannot read the cargo configuration")?;
    Ok(config.linker(triple).context("cannot read the linker from the cargo configuration")?.is_some())
}

/// Folders whose paths must not reach an executable, and what stands there instead. Later ones win.
#[derive(Debug, Clone)]
pub(crate) struct Remap(pub(crate) Vec<(String, String)>);

/// The environment of a native `cargo build`: the user's flags, then ours.
pub(crate) fn environment(
    target: &RustTarget,
    linkage: Linkage,
    user: &[String],
    remap: &Remap,
    outer: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut flags = user.to_vec();
    match linkage {
        Linkage::GnuStatic | Linkage::Musl => flags.extend(["-C".into(), "target-feature=+crt-static".into()]),
        Linkage::Gnu => {}
    }
    flags.extend(remap.0.iter().map(|(from, to)| format!("--remap-path-prefix={from}={to}")));
    let mut environment = BTreeMap::from([("CARGO_ENCODED_RUSTFLAGS".to_owned(), flags.join("\u{1f}"))]);
    // The C compiler's last mapping wins too.
    // And nothing can quote a space for every build script: such a path stays, and the build works.
    let sayable = remap.0.iter().filter(|(from, _)| !from.contains(char::is_whitespace));
    let maps: Vec<_> = sayable.map(|(from, to)| format!("-ffile-prefix-map={from}={to}")).collect();
    let triple = target.triple.replace('-', "_");
    for name in ["CFLAGS", "CXXFLAGS"] {
        let specific = format!("{name}_{triple}");
        // The `cc` crate reads the most specific variable; whichever the user set is added to.
        let name = if outer.contains_key(&specific) { specific } else { name.to_owned() };
        let own = outer.get(&name).map(|flags| format!("{flags} ")).unwrap_or_default();
        environment.insert(name, own + &maps.join(" "));
    }
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_flags_come_first_and_stay() {
        let target = RustTarget::new(&"linux/amd64".parse().unwrap(), Linkage::GnuStatic).unwrap();
        let remap = Remap(vec![("/w".into(), "/workspace".into())]);
        let outer = BTreeMap::from([("CFLAGS".to_owned(), "-O3".to_owned())]);
        let environment = environment(&target, Linkage::GnuStatic, &["--cfg=a b".into()], &remap, &outer);
        assert_eq!(
            environment["CARGO_ENCODED_RUSTFLAGS"].split('\u{1f}').collect::<Vec<_>>(),
            ["--cfg=a b", "-C", "target-feature=+crt-static", "--remap-path-prefix=/w=/workspace"]
        );
        assert_eq!(environment["CFLAGS"], "-O3 -ffile-prefix-map=/w=/workspace");
    }
}
