//! `cargo xtask`, installed with `cargo install`: cargo calls `cargo-xtask xtask ARGS…`.

fn main() -> std::process::ExitCode {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|first| first == "xtask") {
        arguments.remove(1);
    }
    xtask::run(arguments)
}
