//! Compiles in a Docker-compatible engine: docker with buildx or without, podman, nerdctl, or
//! whatever `CI_DOCKER_CLI` names.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use xshell::{Cmd, Shell, cmd};

use crate::image::platform::Platform;
use crate::image::reference::{Digest, ImageReference};
use crate::system::environment::variable;
use crate::system::{cargo::version_line, process};

/// Engines looked for when no variable names one.
const KNOWN: &[&str] = &["docker", "podman", "nerdctl"];

/// A command line of an engine that answered.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    /// Name or path of the program.
    pub(crate) program: String,
    /// Whether it said nothing when asked for its version, as no engine does: a stub that logs calls.
    pub(crate) is_silent: bool,
    flavour: Flavour,
    /// `--builder` of buildx.
    buildx_builder: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flavour {
    /// `docker buildx build`.
    Buildx,
    /// `DOCKER_BUILDKIT=1 docker build`: Docker 20.10 and newer without the plugin, nerdctl.
    Plain,
    /// `podman build`, which needs to be told the ignore file.
    Podman,
}

impl Engine {
    /// The engine that `CI_DOCKER_CLI` or `DOCKER_CLI` names, or the first known one on the PATH.
    ///
    /// # Errors
    /// None is there, or it does not answer: the reason it gives.
    pub(crate) fn find(buildx_builder: Option<&str>) -> Result<Self> {
        let named = ["CI_DOCKER_CLI", "DOCKER_CLI"].into_iter().find_map(variable);
        let program = match named {
            Some(program) => program,
            None => KNOWN
                .iter()
                .find(|program| which::which(program).is_ok())
                .with_context(|| format!("no container engine found: none of {} is on the PATH", KNOWN.join(", ")))?
                .to_string(),
        };
        let shell = Shell::new()?;
        let answer = process::output(cmd!(shell, "{program} version"))?;
        if !answer.status.success() {
            return Err(process::failure(&format!("{program} version"), answer.status, &answer.stderr)
                .context(format!("the engine behind `{program}` does not answer")));
        }
        let flavour = match Utf8Path::new(&program).file_name().unwrap_or_default() {
            name if name.contains("podman") => Flavour::Podman,
            _ if version_line(cmd!(shell, "{program} buildx version")).is_some() => Flavour::Buildx,
            _ => Flavour::Plain,
        };
        if buildx_builder.is_some() && flavour != Flavour::Buildx {
            bail!("`--buildx-builder` needs docker with the buildx plugin, and `{program}` has none");
        }
        let is_silent = answer.stdout.is_empty() && answer.stderr.is_empty();
        Ok(Engine { program, is_silent, flavour, buildx_builder: buildx_builder.map(str::to_owned) })
    }

    /// What tells the content of an image that the engine has locally apart: the digest that it was pulled by
    /// from its registry, else its id here.
    pub(crate) fn local_image(&self, reference: &str) -> Option<(Option<Digest>, String)> {
        let shell = Shell::new().ok()?;
        let program = &self.program;
        let format = "{{.Id}} {{range .RepoDigests}}{{.}} {{end}}";
        let line = version_line(cmd!(shell, "{program} image inspect --format {format} {reference}"))?;
        let mut words = line.split_whitespace();
        let id = words.next()?.to_owned();
        let wanted: ImageReference = reference.parse().ok()?;
        let found = words.filter_map(|word| word.parse::<ImageReference>().ok());
        let mut own = found.filter(|found| found.name() == wanted.name());
        Some((own.find_map(|found| found.digest), id))
    }

    /// Hands an archive made by `write` to the engine.
    pub(crate) fn load(&self, write: impl FnOnce(&mut dyn std::io::Write) -> Result<()>) -> Result<()> {
        let shell = Shell::new()?;
        let program = &self.program;
        process::run_with_input(cmd!(shell, "{program} load"), write).map(drop)
    }
}

/// One engine build: one component's executable for one platform.
#[derive(Debug, Clone)]
pub(crate) struct EngineBuild<'a> {
    /// The generated Dockerfile; its ignore file lies beside it.
    pub(crate) dockerfile: Utf8PathBuf,
    /// Stage that holds the executable alone.
    pub(crate) stage: String,
    pub(crate) platform: &'a Platform,
    /// What all builds have in common.
    pub(crate) options: &'a EngineOptions,
}

/// What all builds of an engine are told.
#[derive(Debug, Clone)]
pub(crate) struct EngineOptions {
    /// `--build-arg`s that the Dockerfile declares.
    pub(crate) build_args: BTreeMap<String, String>,
    /// Cargo's credentials file, when a private registry is used.
    pub(crate) credentials: Option<Utf8PathBuf>,
    /// Whether to hand over the SSH agent.
    pub(crate) ssh: bool,
    /// Caches of layers that BuildKit reads.
    pub(crate) cache_from: Vec<String>,
    /// Caches of layers that BuildKit writes.
    pub(crate) cache_to: Vec<String>,
    /// Whether nothing that the engine built before is taken.
    pub(crate) no_cache: bool,
}

impl EngineBuild<'_> {
    /// The command, run in the stage; it writes the executable into `folder`.
    pub(crate) fn command<'s>(&self, shell: &'s Shell, engine: &Engine, folder: &Utf8Path) -> Cmd<'s> {
        let EngineBuild { dockerfile, stage, platform, options } = self;
        let program = &engine.program;
        let mut target = vec!["--platform".to_owned(), platform.to_string()];
        let mut arguments: Vec<String> = Vec::new();
        match engine.flavour {
            Flavour::Buildx => {
                arguments.extend(["buildx".into(), "build".into(), "--progress=plain".into()]);
                // Provenance would change nothing in an executable and costs a request.
                arguments.push("--provenance=false".into());
                if let Some(builder) = &engine.buildx_builder {
                    arguments.extend(["--builder".into(), builder.clone()]);
                }
                for (flag, caches) in [("--cache-from", &options.cache_from), ("--cache-to", &options.cache_to)] {
                    arguments.extend(caches.iter().flat_map(|cache| [flag.to_owned(), cache.clone()]));
                }
            }
            Flavour::Plain => arguments.push("build".into()),
            Flavour::Podman => {
                arguments.extend(["build".into(), "--ignorefile".into(), format!("{dockerfile}.dockerignore")]);
                // Its versions before 5 do not know `$BUILDPLATFORM`: with `--platform`, they take the
                // builder image for the foreign one and emulate it.
                let variant = platform.variant().unwrap_or_default();
                target = vec!["--build-arg".into(), format!("TARGETARCH={}", platform.architecture())];
                target.extend(["--build-arg".into(), format!("TARGETVARIANT={variant}")]);
            }
        }
        if options.no_cache {
            arguments.push("--no-cache".into());
        }
        // Their values come from the environment: command lines are for all to see.
        arguments.extend(options.build_args.keys().flat_map(|name| ["--build-arg".to_owned(), name.clone()]));
        if let Some(credentials) = &options.credentials {
            arguments.extend(["--secret".into(), format!("id=cargo-credentials,src={credentials}")]);
        }
        if options.ssh {
            arguments.extend(["--ssh".into(), "default".into()]);
        }
        let output = format!("type=local,dest={folder}");
        let command = cmd!(
            shell,
            "{program} {arguments...} --file {dockerfile} --target {stage} {target...} --output {output} ."
        );
        let command = options.build_args.iter().fold(command, |command, (name, value)| command.env(name, value));
        match engine.flavour {
            Flavour::Plain => command.env("DOCKER_BUILDKIT", "1"),
            _ => command,
        }
    }

    /// Calls a stub in the engine's place.
    ///
    /// # Errors
    /// It fails, or prints something: then it is no stub.
    pub(crate) fn rehearse(&self, engine: &Engine, root: &Utf8Path, folder: &Utf8Path) -> Result<()> {
        let shell = process::shell_in(root)?;
        let command = self.command(&shell, engine, folder);
        let shown = command.to_string();
        let output = process::output(command)?;
        if !output.status.success() {
            return Err(process::failure(&shown, output.status, &output.stderr));
        }
        if !output.stdout.is_empty() || !output.stderr.is_empty() {
            bail!("`{}` said nothing of its version, but something to `{shown}`: is it an engine?", engine.program);
        }
        Ok(())
    }

    /// Runs the build and gives the executable's path in `folder`.
    ///
    /// # Errors
    /// The engine failed, or reported success without an executable.
    pub(crate) fn run(
        &self,
        engine: &Engine,
        root: &Utf8Path,
        folder: &Utf8Path,
        binary: &str,
        log: &Utf8Path,
        on_line: impl FnMut(&str),
    ) -> Result<Utf8PathBuf> {
        let shell = process::shell_in(root)?;
        process::run_logged(self.command(&shell, engine, folder), log, on_line)?;
        let executable = folder.join(binary);
        if !executable.is_file() {
            bail!("`{}` reported success and exported no `{binary}`; all its output is in `{log}`", engine.program);
        }
        Ok(executable)
    }
}

/// What a line of BuildKit's or buildah's output says of the progress, if it does.
pub(crate) fn progress_of(line: &str) -> Option<&str> {
    let line = line.trim();
    let text = match line.strip_prefix('#') {
        Some(rest) => rest.split_once(' ')?.1,
        None => line,
    };
    // `12.34    Compiling serde v1.0.0` -> `Compiling serde v1.0.0`
    let text = match text.split_once(' ') {
        Some((time, rest)) if time.parse::<f64>().is_ok() => rest.trim(),
        _ => text,
    };
    (!text.is_empty() && !["CACHED", "DONE"].iter().any(|word| text.starts_with(word))).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> EngineOptions {
        EngineOptions {
            build_args: BTreeMap::from([("A".to_owned(), "b c".to_owned())]),
            credentials: None,
            ssh: false,
            cache_from: vec!["type=gha".into()],
            cache_to: Vec::new(),
            no_cache: false,
        }
    }

    fn shown(flavour: Flavour, buildx_builder: Option<&str>) -> String {
        let engine = Engine {
            program: "cli".into(),
            is_silent: false,
            flavour,
            buildx_builder: buildx_builder.map(str::to_owned),
        };
        let shell = Shell::new().unwrap();
        let (platform, options) = ("linux/arm64".parse().unwrap(), &options());
        let build = EngineBuild {
            dockerfile: "t/engine/Dockerfile".into(),
            stage: "executable".into(),
            platform: &platform,
            options,
        };
        build.command(&shell, &engine, Utf8Path::new("out")).to_string()
    }

    #[test]
    fn each_engine_gets_its_own_words() {
        let end = "--file t/engine/Dockerfile --target executable --platform linux/arm64 --output \
                   type=local,dest=out .";
        assert_eq!(
            shown(Flavour::Buildx, Some("farm")),
            format!(
                "cli buildx build --progress=plain --provenance=false --builder farm --cache-from type=gha --build-arg A {end}"
            )
        );
        assert_eq!(shown(Flavour::Plain, None), format!("cli build --build-arg A {end}"));
        let end = end.replace("--platform linux/arm64", "--build-arg TARGETARCH=arm64 --build-arg TARGETVARIANT=");
        assert_eq!(
            shown(Flavour::Podman, None),
            format!("cli build --ignorefile t/engine/Dockerfile.dockerignore --build-arg A {end}")
        );
    }

    #[test]
    fn progress_is_what_is_compiled_now() {
        assert_eq!(progress_of("#12 3.45    Compiling serde v1.0.0"), Some("Compiling serde v1.0.0"));
        assert_eq!(progress_of("#12 [deps 2/2] RUN cargo build"), Some("[deps 2/2] RUN cargo build"));
        assert_eq!(progress_of("#12 DONE 0.1s"), None);
        assert_eq!(progress_of(""), None);
    }
}
