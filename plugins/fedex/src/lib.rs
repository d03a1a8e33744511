//! The paper's second task: collisions in clips of another fleet (section 5.4, cross-task
//! validation). Where no source says how much data there is, nothing is demanded of it.

use orze_plugin::task::*;

struct Fedex;

impl Task for Fedex {
    fn describe() -> Result<Description, Error> {
        Ok(Description {
            name: "fedex".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "From frozen features of a clip of a FedEx vehicle's camera, whether a \
                      collision follows."
                .into(),
            space: include_str!("../../../configs/spaces/fedex.yaml").into(),
            // No source gives numbers of clips.
            splits: ["train", "validation", "test"]
                .map(Split::of_any_size)
                .into(),
            // A group is a vehicle with its camera: clips of one look alike, so that one in two
            // splits would be recognised instead of understood.
            groups_disjoint: true,
        })
    }

    fn rules() -> Result<String, Error> {
        Ok(include_str!("rules.md").into())
    }
}

orze_plugin::export_task!(Fedex);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_space_holds_what_was_published_and_no_more() {
        let space = Fedex::describe().unwrap().space;
        let line = |key: &str| {
            let found = space
                .lines()
                .find(|line| line.trim_start().starts_with(key));
            found.unwrap().to_owned()
        };
        let backbones = line("backbone:");
        for name in [
            "vjepa2_vitl14",
            "dinov3_b",
            "dinov3_l",
            "dinov2_b",
            "siglip2",
        ] {
            assert!(backbones.contains(name), "{name}");
        }
        assert!(!backbones.contains("convnext"));
        let encoders = line("temporal_encoder:");
        for name in ["zipformer", "retnet", "bimamba", "hybrid"] {
            assert!(encoders.contains(name), "{name}");
        }
        assert!(!encoders.contains("xlstm"));
    }

    #[test]
    fn groups_are_kept_apart_and_no_number_is_made_up() {
        let description = Fedex::describe().unwrap();
        assert!(description.groups_disjoint);
        assert!(description.splits.iter().all(|split| split.clips.is_none()));
    }

    #[test]
    fn the_rules_say_what_is_known() {
        let rules = Fedex::rules().unwrap();
        for known in ["SigLIP2", "0.846", "label"] {
            assert!(rules.contains(known), "{known}");
        }
        assert!(rules.len() < 2_000);
    }
}
