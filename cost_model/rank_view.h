#pragma once
#include "models/program.h"

namespace tplan {

/// The program as the fullest of some of its ranks runs it: columns, heads, experts, weight bytes
/// and cache of every step as the largest of those ranks has them (scales and biases go along with
/// their weights). Of all ranks it is the program itself. Payloads of collectives stay whole.
/// Requires a program of serving.
Program rank_view(const Program& program, RankRange ranks);

}  // namespace tplan
