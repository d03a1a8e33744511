//! The task `my-plugin`: what is searched, and what the space alone can't say.

use orze_plugin::task::*;

/// Every dimension is a key that the trainer reads. `choices` are names or whole numbers, `range` goes
/// from low to high, `when` makes a dimension exist only beside a value of one above it.
const SPACE: &str = "
space: my-plugin
dimensions:
  # The feature maps of your pack: the names given to `orze-runtime data import --features NAME=FILE`.
  backbone:         {group: arch,  choices: [first, second]}
  temporal_encoder: {group: arch,  choices: [zipformer, retnet]}
  pooling:          {group: arch,  choices: [attention, mean, max]}
  loss:             {group: loss,  choices: [focal, bce]}
  focal_gamma:      {group: loss,  range: [0.5, 5.0], when: {loss: focal}}
  learning_rate:    {group: train, range: [3.0e-4, 3.0e-2], scale: log}
  batch_size:       {group: train, choices: [32, 64, 128]}
  epochs:           {group: train, choices: [5, 10, 20]}
# What is the same in every experiment.
fixed:
  model_dim: 32
  layers: 2
  heads: 4
";

const RULES: &str = "\
The positive class is rare: say in the rationale how an idea deals with that.
Few epochs of large batches hardly move the weights; such ideas are refused.
";

struct MyTask;

impl Task for MyTask {
    fn describe() -> Result<Description, Error> {
        Ok(Description {
            name: "my-plugin".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Say what is predicted from what, in a sentence or two.".into(),
            space: SPACE.into(),
            // `Split::new("train", 1000)` also refuses a pack with another number of clips.
            splits: vec![Split::of_any_size("train"), Split::of_any_size("validation")],
            // Nobody's clips may be both trained on and scored.
            groups_disjoint: true,
        })
    }

    fn validate(configuration: &[Setting]) -> Result<(), Error> {
        // The space has checked every value by itself; here is the place for what only shows in
        // their combination. What is added goes back to the author of the idea.
        let mut problems = Problems::new();
        let number = |key| integer(configuration, key);
        if number("batch_size") >= Some(128) && number("epochs").is_some_and(|epochs| epochs <= 5) {
            problems.add(
                Problem::at("epochs", "5 are too few for batches of 128")
                    .hint("10 or more, or smaller batches"),
            );
        }
        problems.into_result()
    }

    fn rules() -> Result<String, Error> {
        Ok(RULES.into())
    }

    // `sweep` and `prioritise` may be defined too: the trait says what they do. Without them the
    // campaign's own sweep is used, and everybody gets the priority that they ask for.
}

orze_plugin::export_task!(MyTask);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_steps_are_refused() {
        let with = |batch_size: i64, epochs: i64| {
            MyTask::validate(&[
                Setting::new("batch_size", batch_size),
                Setting::new("epochs", epochs),
            ])
        };
        assert!(with(128, 10).is_ok());
        assert!(with(64, 5).is_ok());
        assert_eq!(with(128, 5).unwrap_err().problems()[0].key.as_deref(), Some("epochs"));
    }
}
