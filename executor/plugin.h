#pragma once
#include <string>
#include <vector>

namespace tplan {

/// Folders in which a plugin is looked for: those of TPLAN_PLUGIN_PATH (separated by ':'), the
/// program's own, and lib/tplan beside an installed program's bin.
std::vector<std::string> plugin_folders();

/// Loads `file` ("libtplan_mpi.so") from the first folder that has it and returns what its function
/// `entry` returns. The plugin stays loaded. Throws Error with the loader's own words when it is
/// there and does not load, and naming the folders when it is in none.
const void* load_plugin(const std::string& file, const std::string& entry);

}  // namespace tplan
