#pragma once
#include <string>

#include "cost_model/hardware.h"

namespace tplan {

/// All profiles, one line each.
std::string hardware_list_text();

/// `tplan.hardware-list/1`: name, architecture, memory, bandwidth, links of each profile.
Json hardware_list_json();

/// One profile in full, each figure with its source.
std::string hardware_text(const HardwareProfile& hardware);

}  // namespace tplan
