#pragma once
#include <string>

namespace tplan {

/// "AMD EPYC 9654", or the architecture when the system does not say.
std::string processor_model();

}  // namespace tplan
