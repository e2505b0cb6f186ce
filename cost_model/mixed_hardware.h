#pragma once
#include <string>
#include <vector>

#include "cost_model/hardware.h"

/// Two kinds of device in one node: "l40s:2+rtx-4090:2" is ranks 0 and 1 on the first kind, 2 and 3
/// on the second. Ranks meet at every collective, so that a step of all takes as long as on the
/// slower kind.

namespace tplan {

/// Whether HW is spelled as a group of two kinds, NAME:COUNT+NAME:COUNT, right or wrong.
bool names_two_kinds(const std::string& hw);

/// load_hardware(), and groups of two kinds beside. Throws Error for a group that is spelled
/// otherwise, counts that a node does not have, and kinds that no link joins.
HardwareProfile load_group(const std::string& hw);

/// The group of two kinds, `devices` of each; both profiles stay in `kinds`. Figures are the first
/// kind's but for the links: those that both have, each the slower one of the two. NVLink is none
/// of them: it joins devices of one kind.
HardwareProfile join_kinds(const HardwareProfile& first, const HardwareProfile& second);

/// Throws Error unless a profile with `kinds` is what join_kinds() makes of them.
void check_kinds(const HardwareProfile& group, const std::string& where);

/// A kind of the group (0, 1) as it is priced: with the links of the group and all its devices.
HardwareProfile kind_in_group(const HardwareProfile& group, std::size_t kind);

/// Of `ranks` ranks those of the first kind: as many as there are.
int ranks_of_first(const HardwareProfile& group, int ranks);

}  // namespace tplan
