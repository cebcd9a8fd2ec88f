//! What a job needs on disk. AWS Batch has no field for it, so somebody says it or it is assumed.

/// An amount, and whether anybody said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// How much.
    pub amount: i64,
    /// Nobody said so: what it leads to is worth a warning, not an error.
    pub assumed: bool,
}

impl Need {
    /// Somebody said so.
    pub const fn stated(amount: i64) -> Self {
        Self { amount, assumed: false }
    }

    const fn assumed(amount: i64) -> Self {
        Self { amount, assumed: true }
    }

    /// The amount as evidence: `2 GiB (assumed)`.
    pub(super) fn show(self, unit: &str) -> String {
        let assumed = if self.assumed { " (assumed)" } else { "" };
        format!("{} {unit}{assumed}", self.amount)
    }
}

/// What a job needs on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// GiB of a container image, unpacked. Layers are kept once, however many jobs use them.
    pub image_gib: Need,
    /// GiB that a job writes into its container.
    pub scratch_gib: Need,
    /// How long a job runs, in minutes: how many stopped containers wait for the agent's clean-up.
    pub job_minutes: Need,
}

impl Default for Needs {
    /// Small figures, so that what they find is hardly ever a false alarm: an image of 2 GiB, 1 GiB of scratch, an hour.
    fn default() -> Self {
        Self {
            image_gib: Need::assumed(2),
            scratch_gib: Need::assumed(1),
            job_minutes: Need::assumed(60),
        }
    }
}
