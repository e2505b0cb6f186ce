#pragma once
#include <string>
#include <vector>

#include "cost_model/hardware.h"

/// Files of measured ops as tables of a profile.

namespace tplan {

/// Tables from CSV files of single ops with `latency_us`, and from what nccl-tests print. Rows of
/// collectives whose elements are one byte, and prefills over a prefix or of one token, are left
/// out. Where a file has a `system` column with several values, those rows count whose system is
/// `system`, or, if it is empty, the profile's name with '_' for '-'; other files count as a whole.
/// Throws Error naming file, line and column for what cannot be read, for collectives of more ranks
/// than the profile has devices, when a file leaves no row, and for a `system` no file knows.
Tables read_measured_tables(const std::vector<std::string>& files, const std::string& system,
                            const HardwareProfile& hardware);

}  // namespace tplan
