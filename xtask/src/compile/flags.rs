//! Compiler flags: the user's own, then ours.

use std::collections::BTreeMap;

use crate::workspace::rust_target::RustTarget;
use crate::workspace::settings::Linkage;

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
