//! Fingerprint of everything that the bits of a result depend on.

use crate::{DeviceKind, Model, Numerics, kernels, ops::Half};

/// Number of changes to the order of sums: results of two revisions may differ in their bits. 2: a
/// beginning that the examples of a batch share is computed once.
const REVISION: u32 = 2;

/// Returns one line with everything that the bits of a result depend on besides its inputs: engine
/// version, device and numeric mode.
pub fn fingerprint(model: &Model) -> String {
    let version = env!("CARGO_PKG_VERSION");
    match DeviceKind::of(model.device()) {
        // The kernels' instruction set is left out on purpose: in exact mode all give the same
        // result.
        DeviceKind::Cpu if model.numerics() == Numerics::Exact => {
            format!("fedseal-tuning/{version}+{REVISION} cpu exact")
        }
        DeviceKind::Cpu => {
            // Generation multiplies integers where the processor has integer dot products.
            let integers = match kernels::gemm::compact::approx::available() {
                true => "+vnni",
                false => "",
            };
            format!("fedseal-tuning/{version}+{REVISION} cpu fast int16{integers}")
        }
        other => {
            let kind = match (model.numerics(), Half::of(model.device())) {
                (Numerics::Exact, _) | (_, Half::None) => "f32",
                (Numerics::Fast, Half::Kept) => "fast bf16-weights",
                (Numerics::Fast, Half::Multiplied) => "fast bf16",
            };
            format!(
                "fedseal-tuning/{version}+{REVISION} {} {kind}",
                other.name()
            )
        }
    }
}
