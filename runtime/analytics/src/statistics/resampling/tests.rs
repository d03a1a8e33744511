use super::*;

/// Standard normal, by Box and Muller.
fn normal(random: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (random.random(), random.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Four groups whose means explain `share` of the variance of a population.
fn sample(share: f64, n: usize, random: &mut ChaCha8Rng) -> (Vec<f64>, Vec<u32>) {
    let codes: Vec<u32> = (0..n).map(|_| random.random_range(0..4)).collect();
    // −1.5, −0.5, 0.5, 1.5 have variance 1.25.
    let scale = (share / (1.0 - share) / 1.25).sqrt();
    let values = codes
        .iter()
        .map(|code| scale * (f64::from(*code) - 1.5) + normal(random));
    (values.collect(), codes)
}

#[test]
fn intervals_hold_the_share_of_the_population() {
    for share in [0.05, 0.3, 0.8] {
        let mut random = random(7, 0);
        let mut covered = 0;
        for _ in 0..200 {
            let (values, codes) = sample(share, 120, &mut random);
            let found = Groupings::new(&values, [codes]).resample(200, 0, &mut random);
            covered += usize::from(found[0].interval.unwrap().contains(share));
        }
        assert!(covered >= 180, "{covered} of 200 intervals hold {share}");
    }
}

#[test]
fn permutation_p_is_uniform_without_an_effect() {
    let mut random = random(11, 0);
    let mut small = 0;
    for _ in 0..400 {
        let values: Vec<f64> = (0..40).map(|_| normal(&mut random)).collect();
        let codes: Vec<u32> = (0..40).map(|_| random.random_range(0..4)).collect();
        let found = Groupings::new(&values, [codes]).resample(0, 99, &mut random);
        assert_eq!(found[0].interval, None);
        small += usize::from(found[0].p.unwrap() <= 0.1);
    }
    // 40 expected, ± 6.
    assert!((20..=62).contains(&small), "{small} of 400 at most 0.1");
}

#[test]
fn a_strong_effect_is_never_reached_by_permutations() {
    let mut random = random(3, 0);
    let (values, codes) = sample(0.9, 100, &mut random);
    let found = Groupings::new(&values, [codes]).resample(100, 199, &mut random);
    assert_eq!(found[0].p, Some(1.0 / 200.0));
    assert!(found[0].interval.unwrap().low > 0.8);
}

#[test]
fn equal_seeds_give_equal_figures() {
    let (values, codes) = sample(0.3, 60, &mut random(5, 0));
    let groupings = Groupings::new(&values, [codes]);
    let once = groupings.resample(50, 50, &mut random(1, 4));
    assert_eq!(once, groupings.resample(50, 50, &mut random(1, 4)));
    assert_ne!(once, groupings.resample(50, 50, &mut random(1, 5)));
}

#[test]
fn balanced_subsamples_forget_the_sizes_of_groups() {
    let mut random = random(2, 0);
    // One huge group around 0, two small ones around 1 and 2, noise 0.5.
    let mut group = |n: usize, mean: f64| -> Vec<f64> {
        (0..n).map(|_| mean + 0.5 * normal(&mut random)).collect()
    };
    let groups = [
        group(2000, 0.0),
        group(20, 1.0),
        group(20, 2.0),
        group(5, 9.0),
    ];
    let found = balanced(&groups, 10, 400, &mut super::random(2, 1)).unwrap();
    assert_eq!((found.groups, found.draws), (3, 400));
    // Population: 2/3 between, 1/4 within.
    assert!((found.eta_squared - 0.727).abs() < 0.06, "{found:?}");
    assert!(one_way(&groups[..3]).unwrap().eta_squared < 0.4);
    assert!(found.interval.contains(found.eta_squared));
    assert_eq!(balanced(&groups, 50, 400, &mut super::random(2, 1)), None);
}

#[test]
fn few_resamples_make_no_interval() {
    assert_eq!(percentile_interval(vec![0.5; 39]), None);
    let interval = percentile_interval((0..=1000).map(f64::from).collect()).unwrap();
    assert_eq!((interval.low, interval.high), (25.0, 975.0));
    assert_eq!(mean_interval(&[1.0], 100, &mut random(0, 0)), None);
}
