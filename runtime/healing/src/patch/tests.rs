use super::*;

const SCRIPT: &str = "\
import torch

def average_precision(scores, labels):
    return 0.5

def train(model, batches, config):
    for x, y in batches:
        loss = model(x, y)
        loss.backward()
        step()

    return model

# orze: protected
SEED = 3
# orze: end
if __name__ == \"__main__\":
    train(None, [], {})
";

fn files() -> BTreeMap<String, String> {
    BTreeMap::from([("train.py".to_owned(), SCRIPT.to_owned())])
}

const GUARD: &str = "\
--- a/train.py
+++ b/train.py
@@ -7,3 +7,5 @@
     for x, y in batches:
         loss = model(x, y)
+        if not torch.isfinite(loss):
+            continue
         loss.backward()
";

#[test]
fn a_guard_is_put_in_where_it_belongs() {
    assert_eq!(check(&files(), GUARD), Ok(()));
    let changed = apply(&files(), GUARD).unwrap();
    let expected = SCRIPT.replace(
        "        loss.backward()\n",
        "        if not torch.isfinite(loss):\n            continue\n        loss.backward()\n",
    );
    assert_eq!(changed["train.py"], expected);
}

#[test]
fn counts_and_lines_may_be_wrong_and_names_missing() {
    let wrong = GUARD.replace("@@ -7,3 +7,5 @@", "@@ -99,1 +2 @@");
    assert_eq!(apply(&files(), &wrong), apply(&files(), GUARD));
    let nameless: String = GUARD
        .lines()
        .skip(2)
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(apply(&files(), &nameless), apply(&files(), GUARD));
}

#[test]
fn what_does_not_fit_or_fits_twice_is_refused() {
    let other = GUARD.replace("loss = model(x, y)", "loss = model(x)");
    assert!(matches!(
        apply(&files(), &other),
        Err(PatchError::NoMatch { times: 0, .. })
    ));
    let twice = BTreeMap::from([("a.py".to_owned(), "x = 1\nb\nx = 1\n".to_owned())]);
    let diff = "@@ -9 +9 @@\n-x = 1\n+x = 2\n";
    assert!(matches!(
        apply(&twice, diff),
        Err(PatchError::NoMatch { times: 2, .. })
    ));
    // The line number decides where it is right.
    let at = "@@ -3 +3 @@\n-x = 1\n+x = 2\n";
    assert_eq!(apply(&twice, at).unwrap()["a.py"], "x = 1\nb\nx = 2\n");
}

#[test]
fn what_is_no_patch_is_refused() {
    for (diff, expected) in [
        ("", "nothing"),
        ("Set the learning rate lower.", "nothing"),
        (
            "--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n import torch\n",
            "nothing",
        ),
        (
            "--- a/other.py\n+++ b/other.py\n@@ -1 +1 @@\n-a\n+b\n",
            "`other.py`",
        ),
        (
            "--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+b\n",
            "adds or removes",
        ),
        ("@@ -1 +1 @@\nimport torch\n+b\n", "begins with none"),
    ] {
        let error = check(&files(), diff).unwrap_err().to_string();
        assert!(error.contains(expected), "{diff}: {error}");
    }
}

/// A diff that replaces one line of the script.
fn replacing(old: &str, new: &str) -> String {
    assert!(SCRIPT.contains(old));
    format!("--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n-{old}\n+{new}\n")
}

#[test]
fn metrics_splits_labels_and_the_machine_are_out_of_reach() {
    for (old, new) in [
        // In the function that measures, whatever the line says.
        ("    return 0.5", "    return 1.0"),
        ("SEED = 3", "SEED = 4"),
        ("        step()", "        y = model.predict(x)"),
        ("        step()", "        labels, x = x, x"),
        ("        step()", "        val_loss = 0"),
        ("        step()", "        batches = test_split"),
        ("        step()", "        open('metrics', 'w').write('1')"),
        ("        step()", "        __import__('os').system('true')"),
        ("        step()", "        subprocess.run(['true'])"),
        ("        step()", "        # orze: end"),
    ] {
        let error = check(&files(), &replacing(old, new)).unwrap_err();
        assert!(
            matches!(error, PatchError::Forbidden { .. }),
            "{new}: {error}"
        );
    }
    let harmless = replacing("        step()", "        step(max_norm=0.5)");
    assert_eq!(check(&files(), &harmless), Ok(()));
    let data = BTreeMap::from([("lib/dataset.py".to_owned(), "x = 1\n".to_owned())]);
    let error = check(&data, "@@ -1 +1 @@\n-x = 1\n+x = 2\n").unwrap_err();
    assert!(matches!(error, PatchError::Forbidden { .. }), "{error}");
}

#[test]
fn a_patch_is_small() {
    let mut long = "@@ -1 +1 @@\n import torch\n".to_owned();
    for n in 0..=MOST_LINES {
        long.push_str(&format!("+a{n} = 0\n"));
    }
    assert!(matches!(
        check(&files(), &long),
        Err(PatchError::TooLarge(_))
    ));
    let wide = format!("@@ -1 +1 @@\n import torch\n+{}\n", "a".repeat(MOST_BYTES));
    assert!(matches!(
        check(&files(), &wide),
        Err(PatchError::TooLarge(_))
    ));
}
