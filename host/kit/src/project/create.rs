//! A new project.

use std::io;
use std::path::{Path, PathBuf};

use super::name::{self, NameError};
use super::sdk::{self, SdkError};
use super::{FILE, Kind, Language, templates};

/// A project to be made.
#[derive(Clone, Debug)]
pub struct NewProject<'a> {
    /// The plugin's name, and that of the project's folder.
    pub name: &'a str,
    /// Its role.
    pub kind: Kind,
    /// The language of its source.
    pub language: Language,
    /// Where the folder is made.
    pub parent: &'a Path,
}

/// The project can't be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// It can't have this name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is something in its place.
    #[error("{0} exists already: choose another name, or another folder with `--in DIR`")]
    Exists(PathBuf),
    /// The folder that it is to be made in is not there.
    #[error("{0}: there is no such folder")]
    NoParent(PathBuf),
    /// A file can't be written.
    #[error("{0}: it can't be written")]
    Write(PathBuf, #[source] io::Error),
    /// The program's own files are not as they should be.
    #[error(transparent)]
    Sdk(#[from] SdkError),
}

impl NewProject<'_> {
    /// Writes the project's folder, and returns it.
    pub fn write(&self) -> Result<PathBuf, CreateError> {
        name::check(self.name, sdk::package_names()?.iter().map(String::as_str))?;
        if !self.parent.is_dir() {
            return Err(CreateError::NoParent(self.parent.to_owned()));
        }
        let files = self.files()?;
        let folder = self.parent.join(self.name);
        std::fs::create_dir(&folder).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => CreateError::Exists(folder.clone()),
            _ => CreateError::Write(folder.clone(), error),
        })?;
        let components = templates::components(self.kind).iter();
        let components = components.map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec()));
        for (path, content) in components.chain(files.into_iter().map(|(path, text)| (path, text.into_bytes()))) {
            let file = folder.join(path);
            let written =
                file.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&file, content));
            written.map_err(|error| CreateError::Write(file, error))?;
        }
        Ok(folder)
    }

    /// The files of text, with the project file last: a folder that was cut short is no project.
    fn files(&self) -> Result<Vec<(String, String)>, SdkError> {
        let mut files = templates::files(self.name, self.kind, self.language);
        match self.language {
            Language::Rust => {
                files.extend(sdk::files()?);
                files.push(("Cargo.lock".to_owned(), sdk::lock()?));
            }
            Language::JavaScript | Language::Python => files.push(("wit/plugin.wit".to_owned(), sdk::WIT.to_owned())),
        }
        files.sort_by_key(|(path, _)| path == FILE);
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Project;
    use super::*;

    #[test]
    fn a_project_of_each_kind_and_language_is_complete() {
        let parent = tempfile::tempdir().unwrap();
        for &language in Language::ALL {
            for &kind in Kind::ALL {
                let name = format!("{kind}-in-{language}");
                let folder = NewProject { name: &name, kind, language, parent: parent.path() }.write().unwrap();
                let project = Project::open(&folder).unwrap();
                assert_eq!((project.name.as_str(), project.kind, project.language), (name.as_str(), kind, language));
                assert_eq!(project.test.group.is_some(), kind == Kind::Aggregator);
                let events = std::fs::read_to_string(project.events()).unwrap();
                assert_eq!(events.lines().count(), 10);
                let expected = std::fs::read_to_string(project.expected()).unwrap();
                assert_eq!(expected.lines().count(), if kind == Kind::Aggregator { 3 } else { 10 });
                for (path, text) in (NewProject { name: &name, kind, language, parent: parent.path() }).files().unwrap()
                {
                    let rest = ["@NAME@", "@KIND@", "@A_KIND@", "@LANGUAGE@", "@SERDE@"]
                        .into_iter()
                        .find(|it| text.contains(it));
                    assert_eq!(rest, None, "{path}");
                }
            }
        }
    }

    #[test]
    fn what_is_there_stays_as_it_is() {
        let parent = tempfile::tempdir().unwrap();
        std::fs::write(parent.path().join("power"), "mine").unwrap();
        let new = NewProject { name: "power", kind: Kind::Scorer, language: Language::Rust, parent: parent.path() };
        let error = new.write().unwrap_err().to_string();
        assert!(
            error.ends_with("power exists already: choose another name, or another folder with `--in DIR`"),
            "{error}"
        );
        assert_eq!(std::fs::read_to_string(parent.path().join("power")).unwrap(), "mine");
        let elsewhere = parent.path().join("elsewhere");
        let error = NewProject { parent: &elsewhere, ..new }.write().unwrap_err().to_string();
        assert!(error.ends_with("elsewhere: there is no such folder"), "{error}");
    }

    #[test]
    fn a_name_that_no_package_can_have_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let new =
            |name| NewProject { name, kind: Kind::Scorer, language: Language::Rust, parent: parent.path() }.write();
        assert!(matches!(new("../power"), Err(CreateError::Name(NameError::Characters(_)))));
        assert!(matches!(new("postcard"), Err(CreateError::Name(NameError::Reserved(_)))));
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
