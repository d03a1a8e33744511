use proptest::prelude::*;

use super::anova::f_tail;
use super::association::independence;
use super::information::{Counter, jensen_shannon};
use super::two_way::two_way;
use super::*;

/// `weak_groups` of the reference vector `anova_one_way.json` (scipy.stats.f_oneway).
const WEAK_GROUPS: [[f64; 12]; 4] = [
    [
        0.592_120_458_591_895_1,
        0.724_524_174_531_200_4,
        0.679_086_034_659_389_3,
        0.626_895_753_616_356,
        0.739_241_833_696_155_9,
        0.714_342_878_272_691_3,
        0.673_729_517_964_091_2,
        0.743_403_471_270_104_8,
        0.656_396_401_610_348_3,
        0.732_171_616_937_004_8,
        0.652_976_977_513_834_9,
        0.726_697_738_085_303_9,
    ],
    [
        0.654_962_602_772_533_9,
        0.784_459_410_151_055_6,
        0.722_715_375_000_795_2,
        0.781_643_755_799_655_6,
        0.668_877_701_124_007_5,
        0.686_194_881_351_623_5,
        0.751_983_239_925_74,
        0.572_814_142_584_533_7,
        0.656_660_457_267_637_3,
        0.761_658_847_614_083_8,
        0.733_255_466_194_718_7,
        0.758_938_467_120_890_3,
    ],
    [
        0.704_511_955_645_763_7,
        0.748_199_969_080_156_1,
        0.683_457_786_489_158_8,
        0.651_401_981_618_880_1,
        0.635_260_251_314_169,
        0.692_414_521_448_478_7,
        0.692_552_928_878_775,
        0.688_531_130_120_164_4,
        0.542_559_751_450_103,
        0.620_069_819_998_172_9,
        0.693_368_375_540_327_3,
        0.734_350_831_379_877_6,
    ],
    [
        0.701_060_368_747_647_7,
        0.686_155_139_982_464_8,
        0.614_576_333_342_418_1,
        0.831_074_951_948_796_4,
        0.674_944_436_026_653_7,
        0.814_169_831_884_954_6,
        0.808_034_295_849_677_3,
        0.743_696_453_295_046_6,
        0.701_369_529_746_866_1,
        0.736_610_776_559_113_2,
        0.672_347_901_298_032_2,
        0.743_036_506_334_899_5,
    ],
];

fn close(actual: f64, expected: f64) {
    assert!(
        (actual - expected).abs() <= 1e-9 * expected.abs(),
        "{actual} is not {expected}"
    );
}

#[test]
fn one_way_agrees_with_scipy() {
    let analysis = one_way(&WEAK_GROUPS).unwrap();
    close(analysis.f.unwrap(), 1.943_877_946_131_455_7);
    assert!((analysis.p.unwrap() - 0.136_427_049_651_723_06).abs() < 1e-7);
    assert_eq!((analysis.n, analysis.groups), (48, 4));
    close(analysis.chance_level(), 3.0 / 47.0);
}

#[test]
fn one_way_by_hand() {
    // Means 1, 2, 3 around 2: SS between = 3 · (1 + 0 + 1) = 6; each group adds 2 to SS within.
    let analysis = one_way(&[[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]).unwrap();
    close(analysis.eta_squared, 0.5);
    close(analysis.f.unwrap(), 3.0);
    // scipy.stats.f_oneway([0, 1, 2], [1, 2, 3], [2, 3, 4]).pvalue
    close(analysis.p.unwrap(), 0.125);
}

#[test]
fn tiny_probabilities_do_not_vanish() {
    // F, degrees of freedom and p of `groups` in the same vector.
    let p = f_tail(504.671_717_557_327_84, 6.0, 216.0).unwrap();
    assert!((p / 4.388_780_728_914_04e-124 - 1.0).abs() < 1e-6, "{p:e}");
}

#[test]
fn a_shift_changes_nothing() {
    let shifted = WEAK_GROUPS.map(|group| group.map(|value| value + 1e6));
    let analysis = one_way(&shifted).unwrap();
    assert!((analysis.f.unwrap() - 1.943_877_946_131_455_7).abs() < 1e-7);
}

#[test]
fn what_can_not_be_analysed_is_none() {
    let none: [Vec<f64>; 0] = [];
    assert_eq!(one_way(&none), None);
    assert_eq!(one_way(&[vec![1.0, 2.0]]), None, "one group");
    assert_eq!(one_way(&[[1.0], [2.0]]), None, "no group has two");
    assert_eq!(one_way(&[[0.1, 0.1], [0.1, 0.1]]), None, "no variance");
    assert_eq!(one_way(&[[0.3, f64::NAN], [0.1, 0.1]]), None);
    assert_eq!(one_way(&[[f64::MAX, 0.0], [0.1, f64::MIN]]), None);
}

#[test]
fn groups_that_explain_everything_have_no_f() {
    let analysis = one_way(&[[0.5, 0.5], [0.7, 0.7]]).unwrap();
    close(analysis.eta_squared, 1.0);
    assert_eq!((analysis.f, analysis.p), (None, None));
}

#[test]
fn entropy_agrees_with_the_reference() {
    // Reference vector `entropy_jsd.json`, in nats.
    let counts_p = [15, 29, 12, 0, 14, 0, 24, 0, 19, 1, 16, 23];
    let counts_q = [26, 3, 5, 0, 3, 0, 11, 13, 4, 25, 16, 23];
    close(entropy(counts_p), 2.064_859_924_314_458);
    close(entropy(counts_q), 2.056_979_671_656_933_7);
    assert_eq!(entropy([]).to_bits(), 0.0_f64.to_bits());
    assert_eq!(entropy([7, 0]).to_bits(), 0.0_f64.to_bits());
}

#[test]
fn quartiles_interpolate() {
    assert_eq!(quartiles(&[4.0, 1.0, 3.0, 2.0]), Some([1.75, 2.5, 3.25]));
    assert_eq!(quartiles(&[5.0]), Some([5.0; 3]));
    assert_eq!(quartiles(&[]), None);
}

#[test]
fn noise_is_pooled_inside_groups() {
    // Deviations ±1 in one group of two, 0 in a group of three: √(2 / 3).
    let (deviation, freedom) =
        pooled_deviation(&[vec![1.0, 3.0], vec![5.0, 5.0, 5.0], vec![9.0]]).unwrap();
    close(deviation, (2.0_f64 / 3.0).sqrt());
    assert_eq!(freedom, 3);
    assert_eq!(pooled_deviation(&[vec![1.0], vec![2.0]]), None);
}

#[test]
fn omega_squared_by_hand() {
    // SS between 6 of 12 on 2 degrees of freedom, MS within 1: (6 − 2) / (12 + 1).
    let analysis = one_way(&[[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]).unwrap();
    close(analysis.omega_squared(), 4.0 / 13.0);
}

fn summary(values: &[f64]) -> GroupSummary {
    let centre = mean(values.iter().copied(), values.len());
    let squares = mean(values.iter().map(|v| (v - centre).powi(2)), values.len());
    GroupSummary {
        n: values.len(),
        mean: centre,
        deviation: squares.sqrt(),
    }
}

fn observations() -> impl Strategy<Value = Vec<(u8, u8, f64)>> {
    prop::collection::vec((0_u8..4, 0_u8..3, -1.0..1.0_f64), 6..60)
}

proptest! {
    #[test]
    fn summaries_say_what_observations_say(groups in prop::collection::vec(
        prop::collection::vec(0.0..1.0_f64, 1..9), 2..6)
    ) {
        let summaries: Vec<GroupSummary> = groups.iter().map(|group| summary(group)).collect();
        match (one_way(&groups), one_way_of_summaries(&summaries)) {
            (Some(own), Some(other)) => {
                prop_assert!((own.eta_squared - other.eta_squared).abs() < 1e-9);
                prop_assert_eq!((own.n, own.groups), (other.n, other.groups));
                prop_assert!(own.omega_squared() <= own.eta_squared);
            }
            (None, None) => {}
            other => prop_assert!(false, "{:?}", other),
        }
    }

    /// The interaction and what either order of factors leaves add up, and scale and names of
    /// levels change nothing.
    #[test]
    fn two_way_parts_add_up(values in observations()) {
        let Some(table) = two_way(values.iter().copied()) else {
            return Ok(());
        };
        let cells = one_way_by_key(values.iter().map(|(a, b, y)| ((*a, *b), *y))).unwrap();
        let firsts = one_way_by_key(values.iter().map(|(a, _, y)| (*a, *y))).unwrap();
        let total = table.total_ss;
        let parts = firsts.eta_squared * total + table.second.ss + table.interaction.ss;
        prop_assert!((parts - cells.eta_squared * total).abs() < 1e-9 * total);
        let df = table.first_levels - 1 + table.second.df + table.interaction.df;
        prop_assert_eq!(df, table.filled_cells - 1);
        let moved = values.iter().map(|(a, b, y)| (9 - a, (b + 1) % 3, 5.0 + 3.0 * y));
        let moved = two_way(moved).unwrap();
        for (own, other) in [
            (table.first, moved.first),
            (table.second, moved.second),
            (table.interaction, moved.interaction),
        ] {
            prop_assert!((own.share - other.share).abs() < 1e-9);
            prop_assert_eq!(own.df, other.df);
        }
    }

    #[test]
    fn divergence_is_symmetric_and_bounded(pairs in prop::collection::vec((0_usize..9, 0_usize..9), 1..12)) {
        let there = jensen_shannon(pairs.iter().copied());
        let back = jensen_shannon(pairs.iter().map(|(p, q)| (*q, *p)));
        prop_assert_eq!(there.is_some(), back.is_some());
        let Some((there, back)) = there.zip(back) else {
            return Ok(());
        };
        prop_assert!((there - back).abs() < 1e-12);
        prop_assert!((0.0..=std::f64::consts::LN_2).contains(&there));
        // H((p + q) / 2) − (H(p) + H(q)) / 2, over counts brought to one total.
        let (first, second): (Vec<usize>, Vec<usize>) = pairs.iter().copied().unzip();
        let (n, m) = (first.iter().sum::<usize>(), second.iter().sum::<usize>());
        let mixed = entropy(pairs.iter().map(|(p, q)| p * m + q * n));
        let expected = mixed - f64::midpoint(entropy(first), entropy(second));
        prop_assert!((there - expected).abs() < 1e-9);
    }

    #[test]
    fn a_counter_keeps_the_entropy_of_what_it_holds(steps in prop::collection::vec((0_u32..5, any::<bool>()), 0..80)) {
        let mut counter = Counter::default();
        let mut counts = [0_usize; 5];
        for (cell, adds) in steps {
            if adds {
                counter.add(cell);
                counts[cell as usize] += 1;
            } else {
                counter.remove(cell);
                counts[cell as usize] = counts[cell as usize].saturating_sub(1);
            }
            prop_assert_eq!(counter.total(), counts.iter().sum::<usize>());
            prop_assert!((counter.entropy() - entropy(counts)).abs() < 1e-9);
        }
    }

    #[test]
    fn independence_does_not_depend_on_the_side(table in prop::collection::vec(prop::array::uniform3(0_usize..20), 2..5)) {
        let turned: Vec<Vec<usize>> =
            (0..3).map(|column| table.iter().map(|row| row[column]).collect()).collect();
        match (independence(&table), independence(&turned)) {
            (Some(own), Some(other)) => {
                prop_assert!((own.chi2 - other.chi2).abs() < 1e-9 * (1.0 + own.chi2));
                prop_assert_eq!((own.n, own.dof), (other.n, other.dof));
                prop_assert!((0.0..=1.0).contains(&own.v) && (0.0..=1.0).contains(&own.p));
            }
            (None, None) => {}
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
