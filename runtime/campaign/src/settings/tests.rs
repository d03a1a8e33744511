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
    let space = settings.space.unwrap();
    assert!(space.file.is_absolute());
    assert!(space.file.ends_with("space.yaml"));
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

/// What is said about the keys of a language model.
#[test]
fn mistakes_about_models_are_explained() {
    let agent = |keys: &str| {
        refused(&format!(
            "{GOOD}\n[[researcher]]\nname = \"agent\"\nkind = \"anthropic\"\n{keys}"
        ))
    };
    insta::assert_snapshot!(agent(""), @"c.toml: researcher.1.model: is missing: the provider's name of the model |");
    insta::assert_snapshot!(agent("model = \"m\""), @"c.toml: researcher.1.price: is missing: dollars per million tokens | take it from the provider's price list: `price = { input = …, output = … }`; spending is kept within the budget by it");
    insta::assert_snapshot!(agent("model = \"m\"\nprice = { input = 1, output = 2 }"), @"c.toml: researcher.1.budget_usd: nothing limits what this model may cost | set it, or `llm_usd` in [campaign.budget] for all models together");
    insta::assert_snapshot!(agent("model = \"m\"\nprice = { input = 1, output = -2 }"), @"c.toml: researcher.1.price.output: must be in 0..=1,000,000 dollars per million tokens |");
    insta::assert_snapshot!(agent("model = \"m\"\nprice = { input = 1, outptu = 2 }"), @"c.toml: researcher.1.price.outptu: [researcher.1.price] has no key `outptu` | did you mean `output`?");
    insta::assert_snapshot!(agent("model = \"m\"\nbase_url = \"http://here\"\ntemperature = 3"), @"c.toml: researcher.1.temperature: must be in 0..=2 |");
    insta::assert_snapshot!(agent("model = \"m\"\nbase_url = \"http://here\"\nstandby = true"), @"c.toml: researcher.1.standby: is for search policies: nobody waits for a model |");
    insta::assert_snapshot!(refused(&GOOD.replace("kind = \"random\"", "kind = \"random\"\nmodel = \"m\"")), @"c.toml: researcher.0.model: is for language models, and `random` is a search policy | remove it, or set `kind` to one of anthropic, gemini, openai, local");
}

#[test]
fn a_key_is_read_from_where_it_usually_is_unless_told_otherwise() {
    let variable = |keys: &str| {
        let text = format!(
            "{GOOD}\n[[researcher]]\nname = \"agent\"\nkind = \"gemini\"\nmodel = \"m\"\n\
             budget_usd = 1\nprice = {{ input = 1, output = 2 }}\n{keys}"
        );
        let settings = read(&text).unwrap();
        settings.researcher[1].key_variable().map(str::to_owned)
    };
    assert_eq!(variable("").as_deref(), Some("GEMINI_API_KEY"));
    assert_eq!(variable("key_env = \"MINE\"").as_deref(), Some("MINE"));
    assert_eq!(variable("key_file = \"key\""), None);
    assert_eq!(variable("base_url = \"http://here\""), None);
}

#[test]
fn plugins_are_names_or_files_and_bring_a_space() {
    let brought = GOOD.replace(
        "[space]\nfile = \"space.yaml\"\n",
        "[task]\nplugin = \"nexar\"\n",
    ) + "[plugins]\nencoders = [\"own.yaml\", \"mixers\"]\n[diversity]\nplugin = \"d/own.wasm\"\nminimum = 2";
    let settings = read(&brought).unwrap();
    assert!(settings.space.is_none());
    assert_eq!(settings.task.unwrap().plugin.as_deref(), Some("nexar"));
    let [file, bundled] = &settings.plugins.encoders[..] else {
        panic!("two encoders");
    };
    assert!(PathBuf::from(file).is_absolute() && file.ends_with("own.yaml"));
    assert_eq!(bundled, "mixers");
    assert!(PathBuf::from(&settings.diversity.plugin).is_absolute());
    let minimum = &settings.diversity.options["minimum"];
    assert_eq!(*minimum, BudgetOption::Integer(2));

    let nowhere = GOOD.replace("[space]\nfile = \"space.yaml\"\n", "");
    assert!(
        refused(&nowhere).contains("space: is missing"),
        "{}",
        refused(&nowhere)
    );
    let empty = refused(&format!("{GOOD}\n[plugins]\nfuel = 0"));
    assert!(empty.contains("plugins.fuel: must be above 0"), "{empty}");
}

#[test]
fn a_portfolio_moves_the_credit_of_those_it_names_and_is_no_researcher() {
    let more = "[[researcher]]\nname = \"t\"\nkind = \"tpe\"\n\
                [[researcher]]\nname = \"w\"\nkind = \"random\"\nstandby = true\n";
    let with = |keys: &str| {
        format!("{GOOD}\n[[researcher]]\nname = \"p\"\nkind = \"portfolio\"\n{keys}\n{more}")
    };
    let settings = read(&with("cost = \"seconds\"\nfloor = 0.2")).unwrap();
    let portfolio = settings.portfolio.unwrap();
    assert_eq!(settings.researcher.len(), 3);
    // All but the one on standby, by their places among those that propose.
    assert_eq!(portfolio.members, [0, 1]);
    assert_eq!(portfolio.cost, PortfolioCost::Seconds);
    assert_eq!((portfolio.window, portfolio.floor), (100, 0.2));

    insta::assert_snapshot!(refused(&with("members = [\"scout\", \"tt\"]")), @"c.toml: researcher.1.members: there is no researcher `tt` | did you mean `t`?");
    insta::assert_snapshot!(refused(&with("members = [\"scout\", \"w\"]")), @"c.toml: researcher.1.members: `w` is on standby: it proposes only while nothing waits |");
    insta::assert_snapshot!(refused(&with("members = [\"scout\"]")), @"c.toml: researcher.1.members: a portfolio needs two researchers to move credit between | add `[[researcher]]`s that propose, such as `random` and `tpe`");
    insta::assert_snapshot!(refused(&with("floor = 2")), @"c.toml: researcher.1.floor: must be in 0..=1 |");
    insta::assert_snapshot!(refused(&with("preference = 0.5")), @"c.toml: researcher.1.preference: must be at least 1 | 1 leaves the regime out of it");
    insta::assert_snapshot!(refused(&with("window = 3")), @"c.toml: researcher.1.window: must be at least 10 |");
    insta::assert_snapshot!(refused(&with("cost = \"euros\"")), @"c.toml: researcher.1.cost: `euros` is not allowed | allowed: experiments, seconds");
    insta::assert_snapshot!(refused(&with("standby = true")), @"c.toml: researcher.1.standby: is for who proposes: a portfolio moves the credit of others |");
    insta::assert_snapshot!(refused(&with("model = \"m\"")), @"c.toml: researcher.1.model: is for language models, and `portfolio` moves the credit of others | remove it, or set `kind` to one of anthropic, gemini, openai, local");
    let second = "[[researcher]]\nname = \"q\"\nkind = \"portfolio\"";
    insta::assert_snapshot!(refused(&format!("{}\n{second}", with(""))), @"c.toml: researcher.4.kind: a campaign has one portfolio at most |");
    insta::assert_snapshot!(refused(&GOOD.replace("\"random\"", "\"random\"\nfloor = 0.1")), @"c.toml: researcher.0.floor: is for portfolios, and `random` is a researcher of its own | remove it, or add a `[[researcher]]` of kind `portfolio`");
}
