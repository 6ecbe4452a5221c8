//! Recorded outputs of rustc 1.95 with rust-lld, GNU ld 2.40 and gold on Debian 12, shortened.

use super::*;

/// The command that rustc shows, with what a crate links right after it.
fn command(krate: &str, link: &str) -> String {
    format!(
        r#"error: linking with `cc` failed: exit status: 1
  |
  = note:  "cc" "-m64" "/w/target/debug/deps/rustcxx6VTQ/symbols.o" "<13 object files omitted>" "-Wl,--as-needed" "-Wl,-Bstatic" "/w/target/debug/deps/lib{krate}-38d72901e596611a.rlib" {link} "/w/target/debug/deps/liblibc-98e1ae66aaeefc86.rlib" "<sysroot>/lib/rustlib/x86_64-unknown-linux-gnu/lib/{{libstd-*,libpanic_unwind-*}}.rlib" "-lutil" "-lc" "-Wl,-Bdynamic" "-fuse-ld=lld" "-o" "/w/target/debug/deps/linky-52e9b98c90fc4597" "-Wl,--gc-sections" "-static-pie" "-Wl,-z,relro,-z,now" "-nodefaultlibs"
  = note: some arguments are omitted. use `--verbose` to show all linker arguments
"#
    )
}

const LLD_PQ: &str = "  = note: rust-lld: error: undefined symbol: gss_wrap
          >>> referenced by fe-secure-gssapi.o:(pg_GSS_write) in archive /usr/lib/x86_64-linux-gnu/libpq.a
          >>> referenced by fe-secure-gssapi.o:(pg_GSS_write) in archive /usr/lib/x86_64-linux-gnu/libpq.a
          >>> referenced 7 more times

          rust-lld: error: undefined symbol: SSL_CTX_new
          >>> referenced by fe-secure-openssl.o:(initialize_SSL) in archive /usr/lib/x86_64-linux-gnu/libpq.a
          collect2: error: ld returned 1 exit status
";

const BFD_PQ: &str = "  = note: /usr/bin/ld.bfd: /root/.rustup/toolchains/stable/lib/rustlib/x86_64-unknown-linux-gnu/lib/libstd-d1237ef7159db0a2.rlib(std-d1237ef7159db0a2.std.e28293b1aa0f68bd-cgu.0.rcgu.o): in function `std::sys::pal::unix::os::home_dir::fallback':
          /rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/std/src/sys/pal/unix/os.rs:519: warning: Using 'getpwuid_r' in statically linked applications requires at runtime the shared libraries from the glibc version used for linking
          /usr/bin/ld.bfd: /usr/lib/x86_64-linux-gnu/libpq.a(fe-connect.o): in function `sslVerifyProtocolVersion':
          (.text+0x930): undefined reference to `pg_strcasecmp'
          /usr/bin/ld.bfd: (.text+0x943): undefined reference to `pg_strcasecmp'
          collect2: error: ld returned 1 exit status
  = note: some `extern` functions couldn't be found; some native libraries may need to be installed or have their path specified
";

const PQ: &str = "turn on the feature `bundled` of `pq-sys`, or set `linkage = \"gnu\"` with a `runtime-image` that has \
    the library";

#[test]
fn a_static_library_that_needs_others_names_the_crate_and_its_feature() {
    let hint = link_hint(&(command("pq_sys", "\"-lpq\"") + LLD_PQ)).unwrap();
    assert_eq!(hint, format!("`libpq.a` of crate `pq-sys` needs `gss_wrap`, which no linked static library has: {PQ}"));
    let hint = link_hint(&(command("pq_sys", "\"-lpq\"") + BFD_PQ)).unwrap();
    assert!(hint.starts_with("`libpq.a` of crate `pq-sys` needs `pg_strcasecmp`"), "{hint}");
    assert!(hint.ends_with(PQ), "{hint}");
    // Without the command, the table knows who links it; without either, the library's name remains.
    assert!(link_hint(BFD_PQ).unwrap().starts_with("`libpq.a` of crate `pq-sys` needs"));
    let unknown = LLD_PQ.replace("libpq.a", "libown.a");
    assert!(
        link_hint(&unknown).unwrap().starts_with("`libown.a` needs `gss_wrap`, which no linked library has: turn on")
    );
}

#[test]
fn a_library_that_is_not_there_names_who_asks_for_it() {
    for said in [
        "  = note: rust-lld: error: unable to find library -ludevish\n          collect2: error: ld returned 1 exit status\n",
        "  = note: /usr/bin/ld.bfd: cannot find -ludevish: No such file or directory\n",
        "  = note: /usr/bin/ld.gold: error: cannot find -ludevish\n          src/main.rs:1: error: undefined reference to 'udev_new'\n",
    ] {
        assert_eq!(
            link_hint(&(command("udevish_sys", "\"-ludevish\"") + said)).unwrap(),
            "crate `udevish-sys` asks for the static library `libudevish`, which is not here: turn on the crate's feature \
             `vendored` or `bundled`, if it has one, install the package that has it, or set `linkage = \"gnu\"` with a \
             `runtime-image` that has the library"
        );
    }
    // An engine's log; and no crate but the program itself links it.
    let own = command("libc", "").replace("\"-Wl,--as-needed\"", "\"-Wl,--as-needed\" \"-lpq\"");
    let engine = own + "#14 0.361   = note: rust-lld: error: unable to find library -lpq\n";
    let hint = link_hint(&engine).unwrap();
    assert!(
        hint.starts_with("there is no static library `libpq` here: turn on the feature `bundled` of `pq-sys`"),
        "{hint}"
    );
    let rustc = "error: could not find native static library `udevish`, perhaps an -L flag is missing?\n";
    assert!(link_hint(rustc).unwrap().starts_with("there is no static library `libudevish` here: turn on"));
}

#[test]
fn known_libraries_are_told_by_their_package_and_feature() {
    let ssl =
        command("openssl_sys", "\"-lssl\" \"-lcrypto\"") + "  = note: rust-lld: error: unable to find library -lssl\n";
    assert_eq!(
        link_hint(&ssl).unwrap(),
        "crate `openssl-sys` asks for the static library `libssl`, which is not here: turn on the feature `vendored` of \
         `openssl`, install `libssl-dev`, or set `linkage = \"gnu\"` with a `runtime-image` that has the library"
    );
    // Debian has no static one to install, and a dynamic program needs no other linkage.
    let udev =
        command("libudev_sys", "\"-ludev\"") + "  = note: /usr/bin/ld: cannot find -ludev: No such file or directory\n";
    let hint = link_hint(&udev).unwrap();
    assert!(
        hint.ends_with("is not here: set `linkage = \"gnu\"` with a `runtime-image` that has the library"),
        "{hint}"
    );
    let dynamic = link_hint(&udev.replace("\"-static-pie\"", "\"-pie\"")).unwrap();
    assert_eq!(dynamic, "crate `libudev-sys` asks for the library `libudev`, which is not here: install `libudev-dev`");
}

#[test]
fn a_symbol_that_is_declared_and_linked_by_nobody() {
    let lld = "  = note: rust-lld: error: undefined symbol: udev_new
          >>> referenced by main.rs:1 (src/main.rs:1)
          >>>               /w/target/debug/deps/linky2-77a8452ae63d7eac.03h87trvvld9by259uoeik7s3.00tzkj8.rcgu.o:(linky2::main::h5f08dfc818831824)
          collect2: error: ld returned 1 exit status
";
    let hint = link_hint(&(command("udevish_sys", "\"-lm\"") + lld)).unwrap();
    assert!(hint.starts_with("no linked static library has `udev_new`: turn on the crate's feature"), "{hint}");
    let bfd = "          /usr/bin/ld.bfd: /w/target/debug/deps/linky2-6a5e.rcgu.o: in function `linky2::main':
          /home/me/link2/src/main.rs:1: undefined reference to `udev_new'
";
    let before = BFD_PQ.lines().take(2).map(|line| format!("{line}\n")).collect::<String>();
    let hint = link_hint(&(command("udevish_sys", "\"-lm\"") + &before + bfd)).unwrap();
    assert!(hint.starts_with("no linked static library has `udev_new`: "), "{hint}");
    let rlib = lld.replace(">>> referenced by main.rs:1 (src/main.rs:1)", ">>> referenced by lib.rs:1 (src/lib.rs:1)");
    let rlib = rlib
        .replace("rcgu.o:(linky2::main::h5f08dfc818831824)", "rcgu.o:(own::f) in archive /w/deps/libown_sys-77a8.rlib");
    assert!(link_hint(&rlib).unwrap().starts_with("crate `own-sys` needs `udev_new`"), "{:?}", link_hint(&rlib));
}

#[test]
fn other_failures_have_no_hint() {
    assert_eq!(link_hint("error[E0425]: cannot find function `pq` in this scope\n"), None);
    assert_eq!(link_hint("rust-lld: error: undefined symbol: linky::gone::h5f08dfc818831824\n"), None);
    assert_eq!(link_hint("undefined reference to `_ZN4core3fmt9Formatter'"), None);
    assert_eq!(
        link_hint(&(command("pq_sys", "\"-lpq\"") + "  = note: rust-lld: error: no space left on device\n")),
        None
    );
}
