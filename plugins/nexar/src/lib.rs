//! The paper's task: from frozen features of a dashcam clip, whether a collision or a near miss
//! follows. The space is that of section 3.1, with exactly 108,000 discrete cells.
//!
//! Nothing is refused beyond the space: the paper let its models have all of it. Priorities are
//! those that a proposal asks for, as there.

use orze_plugin::task::*;

struct Nexar;

impl Task for Nexar {
    fn describe() -> Result<Description, Error> {
        Ok(Description {
            name: "nexar".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "From frozen features of a dashcam clip, whether a collision or a near miss \
                      follows."
                .into(),
            space: include_str!("../../../configs/spaces/nexar.yaml").into(),
            // 1,500 videos, half of them positive, split by video. Paper, section 3.6 and appendix
            // G; the 80/10/10 said there is rounded.
            splits: vec![
                Split::new("train", 1184),
                Split::new("validation", 177),
                Split::new("test", 139),
            ],
            groups_disjoint: true,
        })
    }

    fn rules() -> Result<String, Error> {
        Ok(include_str!("rules.md").into())
    }
}

orze_plugin::export_task!(Nexar);

#[cfg(test)]
mod tests {
    use super::*;

    /// Choices of each discrete dimension; in this space none depends on another.
    fn choices(space: &str) -> impl Iterator<Item = usize> {
        let lists = space.split("choices: [").skip(1);
        lists.map(|rest| rest.split(']').next().unwrap_or("").split(',').count())
    }

    #[test]
    fn the_space_has_the_papers_cells() {
        let space = Nexar::describe().unwrap().space;
        assert_eq!(choices(&space).count(), 8);
        assert_eq!(choices(&space).product::<usize>(), 108_000);
    }

    #[test]
    fn the_splits_hold_the_papers_videos() {
        let description = Nexar::describe().unwrap();
        let clips: u32 = description.splits.iter().filter_map(|s| s.clips).sum();
        assert_eq!(clips, 1500);
        assert!(description.groups_disjoint, "split by video");
    }

    #[test]
    fn the_paper_example_of_an_idea_is_fine_and_keeps_its_priority() {
        let idea = [
            Setting::new("backbone", "vjepa2_vitl14"),
            Setting::new("temporal_encoder", "bimamba"),
            Setting::new("learning_rate", 3e-4),
        ];
        assert_eq!(Nexar::validate(&idea), Ok(()));
        assert_eq!(Nexar::prioritise(&idea, Priority::High), Ok(Priority::High));
    }

    #[test]
    fn the_rules_are_short_enough_for_every_prompt() {
        let rules = Nexar::rules().unwrap();
        assert!(rules.contains("average precision") && rules.len() < 2_000);
    }
}
