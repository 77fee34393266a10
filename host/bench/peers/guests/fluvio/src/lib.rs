//! The rule as a SmartModule: each record becomes its score, a 64-bit float, little end first.

use fluvio_smartmodule::{RecordData, Result, SmartModuleRecord, eyre, smartmodule};
use peers_rule::output_of_message;

#[smartmodule(map)]
pub fn map(record: &SmartModuleRecord) -> Result<(Option<RecordData>, RecordData)> {
    let score = output_of_message(record.value.as_ref()).map_err(|error| eyre!(error))?;
    Ok((record.key.clone(), RecordData::from(score.to_le_bytes().to_vec())))
}
