//! Templates of repositories' names.

use anyhow::{Result, bail};
use camino::Utf8Path;

/// Checks a repository template.
pub(super) fn check_template(template: &str, table: &str, file: &Utf8Path) -> Result<()> {
    if !template.contains("{component}") {
        bail!(
            "`repository` in `{table}` of `{file}` lacks `{{component}}`, so all components would share one repository"
        );
    }
    if let Some(unknown) = template_fields(template).find(|field| !["component", "owner"].contains(field)) {
        bail!(
            "`{{{unknown}}}` in `repository` in `{table}` of `{file}` is unknown; `{{component}}` and `{{owner}}` are filled in"
        );
    }
    Ok(())
}

fn template_fields(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(field, _)| field))
}

/// The image reference's repository for `component`: the template filled in, made lower case.
///
/// `owner` comes from `GITHUB_REPOSITORY`; without it `{owner}` is left out together with the
/// slash that follows it. A component's name is made a valid path component (distribution
/// specification: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`).
pub(crate) fn repository_name(template: &str, component: &str, owner: Option<&str>) -> String {
    let template = match owner {
        Some(owner) => template.replace("{owner}", owner),
        None => template.replace("{owner}/", "").replace("{owner}", ""),
    };
    let component = component.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    template.replace("{component}", component).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_lower_case_and_owner_is_optional() {
        let template = "{owner}/demon-{component}";
        assert_eq!(repository_name(template, "Engine", Some("Acme")), "acme/demon-engine");
        assert_eq!(repository_name(template, "_engine_", None), "demon-engine");
    }
}
