//! Members inside other members: what belongs to whom, when one reads what lies in the other.

use crate::support::{Fixture, package, root_manifest};

const MAIN: &str = "fn main() {}\n";

/// `app` with `app/in` in its closure, `app/out` not, and `app/out/deep` in it again; `app` carries
/// an asset of `app/out` and includes a file of it.
fn fixture() -> Fixture {
    let fixture = Fixture::new(&[
        ("Cargo.toml", &root_manifest(&["app", "app/in", "app/out", "app/out/deep"], "")),
        (
            "app/Cargo.toml",
            &package(
                "app",
                "[dependencies]\nin = { path = \"in\" }\ndeep = { path = \"out/deep\" }\n\
                 [package.metadata.docker]\nassets = [{ from = \"app/out/web\", to = \"/web\" }]\n",
            ),
        ),
        ("app/src/main.rs", "const _: &str = include_str!(\"../out/text.txt\");\nfn main() {}\n"),
        ("app/in/Cargo.toml", &package("in", "")),
        ("app/in/src/lib.rs", ""),
        ("app/out/Cargo.toml", &package("out", "")),
        ("app/out/src/main.rs", MAIN),
        ("app/out/text.txt", "text"),
        ("app/out/web/index.html", "web"),
        ("app/out/deep/Cargo.toml", &package("deep", "")),
        ("app/out/deep/src/lib.rs", ""),
    ]);
    fixture.git_init();
    fixture.git(&["branch", "base"]);
    fixture
}

/// `top` at the root, which includes a file of `member`.
fn root_package() -> Fixture {
    let fixture = Fixture::new(&[
        ("Cargo.toml", &(package("top", "") + &root_manifest(&["member"], ""))),
        ("src/main.rs", "const _: &str = include_str!(\"../member/data.txt\");\nfn main() {}\n"),
        ("member/Cargo.toml", &package("member", "")),
        ("member/src/main.rs", MAIN),
        ("member/data.txt", "data"),
    ]);
    fixture.git_init();
    fixture.git(&["branch", "base"]);
    fixture
}

/// Names of the components that a change since `base` affects.
fn affected(fixture: &Fixture) -> Vec<String> {
    crate::support::names(&fixture.xtask("components --json --affected base").ok().json())
}

/// Revision of `name` after a commit of `file`, and whether that is it.
fn moves(fixture: &Fixture, name: &str, file: &str) -> bool {
    fixture.append(file, "// changed\n");
    assert_eq!(revision(fixture, name), format!("{}-dirty", fixture.head()), "{file}");
    fixture.commit(file);
    revision(fixture, name) == fixture.head()
}

fn revision(fixture: &Fixture, name: &str) -> String {
    fixture.build(&format!("{name} --json")).ok().json()[0]["revision"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_read_from_another_member_counts_and_the_rest_of_it_does_not() {
    for (file, expected) in [
        ("app/out/src/main.rs", &["out"][..]),
        ("app/out/web/index.html", &["app", "out"]),
        ("app/out/text.txt", &["app", "out"]),
        ("app/out/deep/src/lib.rs", &["app"]),
        ("app/in/src/lib.rs", &["app"]),
        ("app/src/main.rs", &["app"]),
    ] {
        let fixture = fixture();
        fixture.append(file, "// changed\n");
        assert_eq!(affected(&fixture), expected, "{file}");
    }
    let fixture = root_package();
    fixture.append("member/src/main.rs", "// changed\n");
    assert_eq!(affected(&fixture), ["member"]);
    fixture.append("member/data.txt", "changed\n");
    assert_eq!(affected(&fixture), ["member", "top"]);
}

#[test]
fn what_is_read_from_another_member_is_in_the_context_and_the_rest_of_it_is_not() {
    let fixture = fixture();
    fixture
        .write("app/out/deep/.env", "SECRET=1")
        .write("app/out/web/.env", "SECRET=1")
        .write("app/out/deep/target/x", "");
    let files = crate::context::context(&fixture, "app");
    assert!(!files.iter().any(|file| file.contains(".env") || file.contains("target")), "{files:?}");
    for file in ["app/out/web/index.html", "app/out/text.txt", "app/out/deep/src/lib.rs", "app/in/src/lib.rs"] {
        assert!(files.iter().any(|sent| sent == file), "{file} is not among {files:?}");
    }
    assert!(!files.contains(&"app/out/src/main.rs".to_owned()), "{files:?}");
    let files = crate::context::context(&root_package(), "");
    assert!(files.contains(&"member/data.txt".to_owned()), "{files:?}");
    assert!(!files.contains(&"member/src/main.rs".to_owned()), "{files:?}");
}

#[test]
fn what_is_read_from_another_member_moves_the_revision() {
    let fixture = fixture();
    for file in ["app/out/web/index.html", "app/out/text.txt", "app/out/deep/src/lib.rs", "app/in/src/lib.rs"] {
        assert!(moves(&fixture, "app", file), "{file}");
    }
    let before = revision(&fixture, "app");
    fixture.append("app/out/src/main.rs", "// changed\n").commit("out");
    assert_eq!(revision(&fixture, "app"), before);
    assert!(moves(&root_package(), "top", "member/data.txt"));
}
