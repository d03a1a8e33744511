//! Prompt templates: files with `{{placeholders}}` that a user can edit.
//!
//! A template is checked when it is read, so that making a prompt can't fail. What is filled in is
//! never looked at for placeholders.

use std::path::Path;

use orze_campaign::InputError;

const SYSTEM: File = File {
    name: "system.md",
    text: include_str!("../../../../configs/prompts/system.md"),
    placeholders: &[
        ("objective", false),
        ("rules", true),
        ("space", true),
        ("data_rule", true),
        ("priorities", false),
        ("example", true),
    ],
};

const USER: File = File {
    name: "user.md",
    text: include_str!("../../../../configs/prompts/user.md"),
    placeholders: &[
        ("leaderboard", false),
        ("leaderboard_size", false),
        ("distribution", false),
        ("insights", false),
        ("failures", false),
        ("rejections", true),
        ("diversity", true),
        ("banned", true),
        ("budget", false),
        ("wanted", true),
    ],
};

/// One of the two files.
struct File {
    name: &'static str,
    /// The template that is built in.
    text: &'static str,
    /// What may stand in it, and whether it must.
    placeholders: &'static [(&'static str, bool)],
}

/// The two templates of a prompt, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Templates {
    system: Template,
    user: Template,
}

impl Templates {
    /// The templates that are built in: `configs/prompts`.
    ///
    /// # Errors
    /// As [`Templates::parse`]; a test shows that these have none.
    pub fn built_in() -> Result<Self, InputError> {
        Self::parse(SYSTEM.text, USER.text)
    }

    /// Reads `system.md` and `user.md` of a folder.
    ///
    /// # Errors
    /// An [`InputError`] that names the file, and the line and placeholder of a mistake.
    pub fn read(folder: &Path) -> Result<Self, InputError> {
        let read = |file: &File| {
            let path = folder.join(file.name);
            let text = std::fs::read_to_string(&path).map_err(|error| {
                InputError::new(format!("the prompt template can't be read: {error}"))
                    .in_file(&path)
                    .hint("copy configs/prompts and edit the copy")
            })?;
            Template::parse(&text, file).map_err(|error| error.in_file(&path))
        };
        Ok(Self {
            system: read(&SYSTEM)?,
            user: read(&USER)?,
        })
    }

    /// Parses the text of both templates.
    ///
    /// # Errors
    /// An [`InputError`] that names the template, and the line and placeholder of a mistake.
    pub fn parse(system: &str, user: &str) -> Result<Self, InputError> {
        let parse = |text, file: &File| {
            Template::parse(text, file).map_err(|error| error.in_file(file.name))
        };
        Ok(Self {
            system: parse(system, &SYSTEM)?,
            user: parse(user, &USER)?,
        })
    }

    pub(super) fn system(&self, fill: impl Fn(&str) -> String) -> String {
        self.system.render(fill)
    }

    pub(super) fn user(&self, fill: impl Fn(&str) -> String) -> String {
        self.user.render(fill)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(&'static str),
}

impl Template {
    fn parse(text: &str, file: &File) -> Result<Self, InputError> {
        let names = || file.placeholders.iter().map(|(name, _)| *name);
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let line = 1 + text[..text.len() - after.len()].matches('\n').count();
            let at = format!("line {line}");
            parts.push(Part::Text(before.to_owned()));
            let inside = after
                .split_once("}}")
                .filter(|(name, _)| !name.contains('\n'));
            let Some((written, behind)) = inside else {
                return Err(InputError::new("`{{` is not closed by `}}` on its line").at_key(at));
            };
            let written = written.trim();
            let name = names().find(|name| *name == written).ok_or_else(|| {
                InputError::new(format!("`{{{{{written}}}}}` is no placeholder"))
                    .at_key(at)
                    .hint_nearest(written, names())
            })?;
            parts.push(Part::Placeholder(name));
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        for (name, is_required) in file.placeholders {
            if *is_required && !parts.contains(&Part::Placeholder(name)) {
                return Err(
                    InputError::new(format!("lacks the placeholder `{{{{{name}}}}}`"))
                        .hint("configs/prompts/README.md says what each one holds"),
                );
            }
        }
        Ok(Self(parts))
    }

    /// The text with each placeholder replaced, without the white space around what is filled in.
    fn render(&self, fill: impl Fn(&str) -> String) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Placeholder(name) => text.push_str(fill(name).trim_end()),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(system: &str, user: &str) -> String {
        let error = Templates::parse(system, user).unwrap_err();
        format!("{error}\n{}", error.hint.as_deref().unwrap_or_default())
    }

    #[test]
    fn the_templates_that_are_built_in_are_valid() {
        Templates::built_in().unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/prompts");
        assert_eq!(Templates::read(&folder), Templates::built_in());
    }

    #[test]
    fn mistakes_name_file_line_and_placeholder() {
        assert_eq!(
            message(SYSTEM.text, "a\n{{wanted}}\n{{ rejectons }}"),
            "user.md: line 3: `{{rejectons}}` is no placeholder\ndid you mean `rejections`?"
        );
        assert_eq!(
            message(SYSTEM.text, "a\n{{wanted\n}}"),
            "user.md: line 2: `{{` is not closed by `}}` on its line\n"
        );
        assert_eq!(
            message("{{rules}} {{ space }}", USER.text),
            "system.md: lacks the placeholder `{{data_rule}}`\n\
             configs/prompts/README.md says what each one holds"
        );
        assert_eq!(
            message("{{zzz}}", USER.text),
            "system.md: line 1: `{{zzz}}` is no placeholder\n\
             allowed: objective, rules, space, data_rule, priorities, example"
        );
        let error = Templates::read(Path::new("/no/such/folder")).unwrap_err();
        assert!(error.to_string().starts_with("/no/such/folder/system.md: "));
    }
}
