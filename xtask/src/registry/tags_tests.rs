//! Lists of tags as registries give them.

use super::push_tests::{client, target};
use super::test_registry::{Registry, error};
use super::test_server::{Answer, Server};
use crate::image::manifest::OCI_MANIFEST;
use crate::image::reference::{Digest, Tag};

#[test]
fn tags_come_from_all_pages_in_all_forms_of_links() {
    for form in ["relative", "query", "absolute", "array"] {
        let server = Server::start(move |seen| {
            let (path, query) = seen.path.split_once('?').unwrap();
            let next = |query: &str| match form {
                "relative" => format!("<{path}?{query}>; rel=\"next\""),
                "query" => format!("<?{query}>; rel=next"),
                "array" => format!("</x>; rel=\"prev\", <{path}?{query}>; rel=\"next\""),
                _ => format!("<http://{}{path}?{query}>; rel=\"next\"", seen.headers["host"]),
            };
            match query {
                "n=1000" => Answer::new(200, r#"{"name":"acme/app","tags":["v2","latest"]}"#)
                    .header("Link", next("last=v2&n=2")),
                "last=v2&n=2" => {
                    Answer::new(200, r#"{"name":"acme/app","tags":["v10","v2"]}"#).header("Link", next("last=v10"))
                }
                "last=v10" => Answer::new(200, r#"{"name":"acme/app","tags":["a"]}"#),
                other => panic!("{other}"),
            }
        });
        let tags = client().tags(&target(&server)).unwrap();
        assert_eq!(tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>(), ["a", "latest", "v10", "v2"], "{form}");
    }
}

#[test]
fn repositories_without_tags_have_none_and_lists_that_lead_astray_are_refused() {
    for answer in [|| Answer::new(404, error("NAME_UNKNOWN", "unknown")), || Answer::new(200, r#"{"tags":null}"#)] {
        let server = Server::start(move |_| answer());
        assert!(client().tags(&target(&server)).unwrap().is_empty());
    }
    for link in ["<https://evil.example/v2/x>; rel=\"next\"", "<?n=1000>; rel=\"next\""] {
        let server = Server::start(move |_| Answer::new(200, r#"{"tags":["a"]}"#).header("Link", link));
        let error = format!("{:#}", client().tags(&target(&server)).unwrap_err());
        assert!(error.contains("at another host") || error.contains("leads back to a page"), "{error}");
        assert_eq!(server.lines().len(), 1);
    }
    // A list that ends within its pages.
    let server = Server::start(|seen| match seen.path.contains("last=") {
        true => Answer::new(404, error("NAME_UNKNOWN", "unknown")),
        false => Answer::new(200, r#"{"tags":["a"]}"#).header("Link", "<?last=a>; rel=\"next\""),
    });
    let cut = format!("{:#}", client().tags(&target(&server)).unwrap_err());
    assert!(cut.contains("cannot list the tags of"), "{cut}");
    // Two pages that name each other.
    let server = Server::start(|seen| {
        let next = if seen.path.contains("last=a") { "last=b" } else { "last=a" };
        Answer::new(200, r#"{"tags":["a"]}"#).header("Link", format!("<?{next}>; rel=\"next\""))
    });
    let error = format!("{:#}", client().tags(&target(&server)).unwrap_err());
    assert!(error.ends_with("the list leads back to a page that was read"), "{error}");
    assert_eq!(server.lines().len(), 3);
    let server = Server::start(|_| Answer::new(200, "[]"));
    assert!(client().tags(&target(&server)).is_err());
}

#[test]
fn a_tag_that_not_all_images_have_or_that_is_at_another_is_not_theirs() {
    let registry = Registry::default();
    let answering = registry.clone();
    let server = Server::start(move |seen| answering.answer(seen));
    let put = |repository: &str, tag: &str, text: &str| {
        let kind = (OCI_MANIFEST.to_owned(), text.as_bytes().to_vec());
        registry.content().manifests.insert((repository.to_owned(), tag.to_owned()), kind);
    };
    // 2: both. 3: claimed, and one image was not tagged. 4: at the one, it is another image.
    for (tag, app, other) in [("2", "{}", Some("[]")), ("3", "{}", None), ("4", "{}", Some("{}"))] {
        put("acme/app", tag, app);
        other.into_iter().for_each(|text| put("acme/other", tag, text));
    }
    let app = target(&server);
    let other = format!("{}/acme/other", server.host).parse::<crate::image::reference::ImageReference>().unwrap();
    let images = [app.with_digest(Digest::of(b"{}")), other.with_digest(Digest::of(b"[]"))];
    let has = |tag: &str| client().have_tag(images.iter().collect(), &tag.parse::<Tag>().unwrap()).unwrap();
    assert_eq!(["2", "3", "4"].map(has), [true, false, false]);
}
