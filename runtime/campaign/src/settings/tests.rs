use std::path::PathBuf;

use super::*;
use crate::error::InputError;

const GOOD: &str = r#"
[campaign]
name = "a"
directory = "out"
[space]
file = "space.yaml"
[trainer]
kind = "surrogate"
file = "table.jsonl"
[[researcher]]
name = "scout"
kind = "random"
"#;

fn read(text: &str) -> Result<Settings, InputError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(&file, text).unwrap();
    Settings::read(&file).map_err(|mut error| {
        error.file = error
            .file
            .and_then(|file| file.file_name().map(PathBuf::from));
        error
    })
}

fn refused(text: &str) -> String {
    let error = read(text).unwrap_err();
    format!("{error} | {}", error.hint.clone().unwrap_or_default())
}

#[test]
fn defaults_are_filled_in_and_paths_are_relative_to_the_file() {
    let settings = read(GOOD).unwrap();
    assert!(settings.space.file.is_absolute());
    assert!(settings.space.file.ends_with("space.yaml"));
    assert_eq!(settings.researcher[0].ideas, 4);
    assert_eq!(settings.slots.count, Auto::Auto);
}

#[test]
fn mistakes_name_file_key_and_hint() {
    insta::assert_snapshot!(refused(&GOOD.replace("seed", "sed").replace("name = \"a\"", "name = \"a\"\nsed = 1")), @"c.toml: campaign.sed: [campaign] has no key `sed` | did you mean `seed`?");
    insta::assert_snapshot!(refused(&format!("{GOOD}\n[slotz]\ncount = 2")), @"c.toml: slotz: the file has no section `slotz` | did you mean `slots`?");
    insta::assert_snapshot!(refused(&format!("{GOOD}\n[slots]\ncount = 0")), @r#"c.toml: slots.count: expected "auto" or a whole number above 0 | configs/quickstart.toml shows the form of a campaign file"#);
    insta::assert_snapshot!(refused(&format!("{GOOD}\n[slots]\nqueue = \"big\"")), @r#"c.toml: slots.queue: expected "auto" or a whole number above 0 | configs/quickstart.toml shows the form of a campaign file"#);
    insta::assert_snapshot!(refused(&format!("{GOOD}\n[dedup]\nmode = \"none\"")), @"c.toml: dedup.mode: `none` is not allowed | allowed: paper, mixed");
    insta::assert_snapshot!(refused(&GOOD.replace("directory = \"out\"", "")), @"c.toml: campaign.directory: is missing | ");
    insta::assert_snapshot!(refused(&GOOD.replace("file = \"table.jsonl\"", "")), @"c.toml: trainer.file: the surrogate trainer needs the closed form or table | ");
    insta::assert_snapshot!(refused(&GOOD.replace("surrogate", "candle")), @r#"c.toml: task: the candle trainer needs `data`, the folder of a feature pack | add `[task]` with `data = "…"`; `orze-runtime data import` makes one"#);
    insta::assert_snapshot!(refused(&GOOD.replace("\"out\"", "\"${ORZE_NO_SUCH}/out\"")), @"c.toml: campaign.directory: the environment variable `ORZE_NO_SUCH` is not set | set ORZE_NO_SUCH, or write the path out");
    insta::assert_snapshot!(refused(&format!("{GOOD}\n[[researcher]]\nname = \"scout\"\nkind = \"tpe\"")), @"c.toml: researcher.1.name: `scout` stands twice | ");
    assert!(refused("[campaign").starts_with("c.toml: TOML parse error at line 1, column 10"));
}
