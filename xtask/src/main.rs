//! `cargo xtask`, adopted as a workspace member.

fn main() -> std::process::ExitCode {
    xtask::run(std::env::args_os())
}
