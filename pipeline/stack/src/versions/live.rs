//! What a target is to have of a component, and which version it has.

use super::component::{Component, Kind};
use domain::task::Release;
use semver::Version;

impl Component {
    /// The names of the variables that it sets.
    pub fn variables(&self) -> Vec<&str> {
        match self.kind {
            Kind::Application => self.config.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// What its target is to have, of what it has now, and of the hash of its text: of an application the repository of the
    /// image stays.
    ///
    /// # Errors
    /// In words: the target has no image whose version could be another.
    pub fn wanted(&self, live: &Release, text: Option<&str>) -> Result<Release, String> {
        if self.kind == Kind::Schema {
            return Ok(Release { version: Some(self.version.to_string()), ..Release::default() });
        }
        if self.kind != Kind::Application {
            return Ok(Release { text: text.map(str::to_owned), ..Release::default() });
        }
        let image = live.image.as_deref().map(repository).filter(|name| !name.is_empty());
        let Some(repository) = image else {
            return Err("its service has no image whose version could be changed: give it one".to_owned());
        };
        // The version is for people, the digest is what is run (distribution/reference: NAME[:TAG][@DIGEST]). A tag has no `+`.
        let tag = self.version.to_string().replace('+', "_");
        let digest = self.digest.as_ref().map_or_else(String::new, |digest| format!("@{digest}"));
        let image = Some(format!("{repository}:{tag}{digest}"));
        Ok(Release { image, config: self.config.clone(), ..Release::default() })
    }

    /// Whether its target has it.
    pub fn is_live(&self, live: &Release, text: Option<&str>) -> bool {
        let config = |(name, value): (&String, &String)| live.config.get(name) == Some(value);
        self.wanted(live, text).is_ok_and(|wanted| {
            let same = wanted.image == live.image && wanted.text == live.text && wanted.version == live.version;
            same && wanted.config.iter().all(config)
        })
    }
}

/// The version that an image is tagged with, where it is one.
pub fn tagged(image: &str) -> Option<Version> {
    let name = image.split('@').next().unwrap_or_default();
    let tag = name.strip_prefix(repository(image))?.strip_prefix(':')?;
    Version::parse(&tag.replace('_', "+")).ok()
}

/// An image without its tag and digest: a colon before a slash is that of a registry's port.
fn repository(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or_default();
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versions::Manifest;

    #[test]
    fn the_repository_stays_and_the_version_is_read_back() {
        let text =
            "[[component]]\nname = \"api\"\nkind = \"application\"\nversion = \"1.4.2\"\nconfig = { W = \"4\" }\n";
        let api = Manifest::parse(text).unwrap().components.remove(0);
        for (image, wanted) in [
            ("acme/api:1.4.1", "acme/api:1.4.2"),
            ("registry:5000/acme/api", "registry:5000/acme/api:1.4.2"),
            ("registry:5000/api:1@sha256:ab", "registry:5000/api:1.4.2"),
            ("api@sha256:ab", "api:1.4.2"),
        ] {
            let live = Release { image: Some(image.to_owned()), ..Release::default() };
            let release = api.wanted(&live, None).unwrap();
            assert_eq!(release.image.as_deref(), Some(wanted), "{image}");
            assert!(!api.is_live(&live, None));
            assert!(api.is_live(&release, None));
            assert_eq!(tagged(wanted).map(|version| version.to_string()).as_deref(), Some("1.4.2"));
        }
        assert!(api.wanted(&Release::default(), None).is_err());
        assert_eq!(tagged("registry:5000/api"), None);
        assert_eq!(tagged("api:latest"), None);
    }
}
