//! Keyed draws: chance as a function of what it is about, never of the order in which it is asked for.
//!
//! Two policies that launch the same instance meet the same boot time, and a job that is left out of a trace changes the
//! luck of no other job. The mixing steps are those of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
//! generators", OOPSLA 2014), applied to each part of the key in turn.

/// What a draw is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// From RUNNABLE work without room to Batch's launch.
    Decision,
    /// From the launch to EC2's state running.
    Pending,
    /// From running to a registered container instance.
    Boot,
    /// From room to STARTING.
    Dispatch,
    /// The image pull of the first job of a name on an instance.
    Pull,
    /// From STARTING (image there) to RUNNING.
    ContainerStart,
    /// How long a scaling update keeps its environment UPDATING.
    Updating,
    /// From a raised minvCpus to the launch.
    MinRaise,
    /// How long an idle instance is kept.
    Idle,
    /// The next reclaim of a Spot pool.
    Reclaim,
    /// Whether a reclaim takes this instance.
    Reclaimed,
    /// The next generated drought of a pool.
    Drought,
    /// How long that drought lasts.
    DroughtLength,
    /// In which zone a launch is tried first.
    Zone,
    /// When in its interval an environment is looked at.
    Phase,
    /// When in its interval a controller polls.
    PollPhase,
    /// Whether a hint of a change is lost or comes twice.
    Hint,
    /// By how much an approximate count of messages is wrong.
    SqsCount,
    /// Whether trouble on demand hits a request.
    Fault,
}

impl Cause {
    /// Part of the key: a new cause takes a new number, none is ever reused.
    const fn number(self) -> u64 {
        match self {
            Self::Decision => 1,
            Self::Pending => 2,
            Self::Boot => 3,
            Self::Dispatch => 4,
            Self::Pull => 5,
            Self::ContainerStart => 6,
            Self::Updating => 7,
            Self::MinRaise => 8,
            Self::Idle => 9,
            Self::Reclaim => 10,
            Self::Reclaimed => 11,
            Self::Drought => 12,
            Self::DroughtLength => 13,
            Self::Zone => 14,
            Self::Phase => 15,
            Self::PollPhase => 16,
            Self::Hint => 17,
            Self::SqsCount => 18,
            Self::Fault => 19,
        }
    }
}

/// A number that depends on nothing but its key. `entity` says of which job, instance, pool or environment; `ordinal`
/// counts its draws for one cause.
pub fn draw(seed: u64, cause: Cause, entity: u64, ordinal: u64) -> u64 {
    [cause.number(), entity, ordinal]
        .into_iter()
        .fold(mix(seed), |state, part| mix(state ^ mix(part)))
}

/// A draw as a fraction in [0, 1), with 53 bits.
pub fn fraction(drawn: u64) -> f64 {
    let high = i64::try_from(drawn >> 11).unwrap_or(i64::MAX);
    crate::units::i64_to_f64(high) / 9_007_199_254_740_992.0
}

/// One key for several numbers, for entities that are known by more than one.
pub fn key(parts: &[u64]) -> u64 {
    parts
        .iter()
        .fold(0x5bd1_e995_u64, |state, part| mix(state ^ mix(*part)))
}

/// A key for a text.
pub fn key_of(text: &str) -> u64 {
    text.bytes().fold(mix(0), |state, byte| mix(state ^ u64::from(byte)))
}

const fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_key_matters() {
        let base = draw(1, Cause::Boot, 2, 3);
        assert_eq!(base, draw(1, Cause::Boot, 2, 3));
        for other in [
            draw(2, Cause::Boot, 2, 3),
            draw(1, Cause::Pending, 2, 3),
            draw(1, Cause::Boot, 3, 3),
            draw(1, Cause::Boot, 2, 4),
            draw(1, Cause::Boot, 3, 2),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn fractions_are_spread_evenly() {
        let n = 20_000_u64;
        let mut tenths = [0_u32; 10];
        for entity in 0..n {
            let f = fraction(draw(7, Cause::Dispatch, entity, 0));
            assert!((0.0..1.0).contains(&f));
            tenths[usize::try_from(crate::units::f64_to_i64(f * 10.0)).unwrap()] += 1;
        }
        // 2,000 expected in each; six standard deviations are 255.
        assert!(tenths.iter().all(|count| (1745..=2255).contains(count)), "{tenths:?}");
    }
}
