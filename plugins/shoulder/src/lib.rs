//! The bundled task: external rotation of a shoulder, told from a watch (examples/shoulder).
//!
//! A small whole task to copy: a space in a file of its own, the splits that the data must have, one
//! rule that the space can't say, and what a language model must know.

use orze_plugin::task::*;

/// Training clips that are not external rotation, and those that are. `oversampling` repeats these.
const OTHERS: f64 = 823.0;
const POSITIVES: f64 = 153.0;

/// The least `learning_rate` × steps. A step of AdamW moves a weight by about the learning rate at
/// most, and warm-up and decay halve the sum; weights start within ±1/√32 = ±0.18, so that below this
/// hardly one moves by a tenth of that, and the encoder stays about as it was drawn. Of 160
/// configurations drawn at random, with rates from 3e-4 to 3e-3 and batches of 64 and 128, the 12 below
/// this had a median of 0.38 and a best of 0.89; the other 148 had 0.74 and 0.97.
const LEAST_REACH: f64 = 0.03;

struct Shoulder;

impl Task for Shoulder {
    fn describe() -> Result<Description, Error> {
        Ok(Description {
            name: "shoulder".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "From 3 s of acceleration and rotation of a wrist, whether the exercise is \
                      external rotation of the shoulder."
                .into(),
            space: include_str!("../../../configs/spaces/shoulder.yaml").into(),
            splits: vec![
                Split::new("train", 976),
                Split::new("validation", 388),
                Split::new("test", 307),
            ],
            // A group is a person.
            groups_disjoint: true,
        })
    }

    fn validate(configuration: &[Setting]) -> Result<(), Error> {
        let mut problems = Problems::new();
        if let (Some(rate), Some(steps)) =
            (real(configuration, "learning_rate"), steps(configuration))
            && rate * steps < LEAST_REACH
        {
            problems.add(
                Problem::at(
                    "learning_rate",
                    format!(
                        "{} is too small for {steps} steps: the weights hardly move",
                        Value::Real(rate)
                    ),
                )
                .hint(format!(
                    "at least {}, more epochs or a smaller batch",
                    Value::Real(rounded_up(LEAST_REACH / steps))
                )),
            );
        }
        problems.into_result()
    }

    fn rules() -> Result<String, Error> {
        Ok(include_str!("rules.md").into())
    }
}

orze_plugin::export_task!(Shoulder);

/// Steps of an experiment, as the trainer counts them: an epoch holds each clip once, and positives
/// `oversampling` times.
fn steps(configuration: &[Setting]) -> Option<f64> {
    let batch = real(configuration, "batch_size")?.max(1.0);
    let clips = OTHERS + POSITIVES * real(configuration, "oversampling").unwrap_or(1.0);
    Some(real(configuration, "epochs")? * (clips / batch).ceil())
}

/// To the next hundred-thousandth, so that a person can write it and it is enough.
fn rounded_up(rate: f64) -> f64 {
    (rate * 1e5 - 1e-6).ceil() / 1e5
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(rate: f64, batch: u32, epochs: u32, oversampling: f64) -> Configuration {
        vec![
            Setting::new("batch_size", batch),
            Setting::new("epochs", epochs),
            Setting::new("learning_rate", rate),
            Setting::new("oversampling", oversampling),
        ]
    }

    #[test]
    fn the_description_is_that_of_the_pack() {
        let description = Shoulder::describe().unwrap();
        let manifest = include_str!("../../../examples/shoulder/pack/manifest.json");
        for split in &description.splits {
            // A clip names its split once, and nothing else does.
            let line = format!("\"split\": \"{}\"", split.name);
            let clips = manifest.matches(&line);
            assert_eq!(
                u32::try_from(clips.count()).ok(),
                split.clips,
                "{}",
                split.name
            );
        }
        assert!(description.space.contains("space: shoulder"));
        let positives = (OTHERS + POSITIVES).to_string();
        assert_eq!(
            Some(positives.parse().unwrap()),
            description.splits[0].clips
        );
    }

    #[test]
    fn a_run_that_can_not_move_its_weights_is_refused_with_the_way_out() {
        let error = Shoulder::validate(&configuration(3e-4, 128, 5, 1.0)).unwrap_err();
        assert_eq!(
            error.problems()[0].to_string(),
            "learning_rate: 3e-4 is too small for 40 steps: the weights hardly move (at least \
             7.5e-4, more epochs or a smaller batch)"
        );
        for fine in [
            configuration(7.5e-4, 128, 5, 1.0),
            configuration(3e-4, 128, 15, 1.0),
            configuration(3e-4, 32, 5, 1.0),
            configuration(3e-2, 128, 5, 4.0),
        ] {
            assert_eq!(Shoulder::validate(&fine), Ok(()), "{fine:?}");
        }
    }

    #[test]
    fn steps_are_those_of_the_trainer() {
        // Of an experiment of a campaign on the pack: its record said 115.
        let configuration = configuration(6e-4, 64, 5, 3.89595);
        assert_eq!(steps(&configuration), Some(115.0));
        assert_eq!(steps(&[]), None);
        assert_eq!(Shoulder::validate(&[]), Ok(()));
    }

    #[test]
    fn little_of_the_space_is_closed_and_each_hint_is_a_way_out() {
        let (mut refused, mut all) = (0, 0);
        for step in 0..100 {
            let rate = 3e-4 * 100_f64.powf(f64::from(step) / 99.0);
            for (batch, epochs, oversampling) in [32, 64, 128].into_iter().flat_map(|batch| {
                [5, 10, 15]
                    .into_iter()
                    .flat_map(move |epochs| [1.0, 2.3, 4.0].map(|times| (batch, epochs, times)))
            }) {
                all += 1;
                let mut configuration = configuration(rate, batch, epochs, oversampling);
                let Err(error) = Shoulder::validate(&configuration) else {
                    continue;
                };
                refused += 1;
                let hint = error.problems()[0].hint.clone().unwrap();
                let least = hint.split([' ', ',']).nth(2).unwrap();
                configuration[2] = Setting::new("learning_rate", least.parse::<f64>().unwrap());
                assert_eq!(Shoulder::validate(&configuration), Ok(()), "{hint}");
            }
        }
        assert!(refused > 0 && refused * 30 < all, "{refused} of {all}");
    }
}
