#pragma once
#include <string>
#include <vector>

#include "app/study.h"

/// Where a number comes from, in words with the values put in. The formulas themselves are
/// cost_model/derivation.md.

namespace tplan {

/// "67.1 MFLOP": a count with its unit, scaled; three significant digits.
std::string in_words(double count, std::string_view unit);

/// How the price of a step of a section came about, one line each: arithmetic, traffic or payload,
/// launch, what bounds it, and where the figures come from.
std::vector<std::string> explain_step(const Study& study, int section, int step);

/// One part of the memory of a GPU.
struct MemoryLine {
    std::string name;
    Bytes bytes;
    std::string how;
};
/// Parts of the memory of the fullest GPU; empty for a degree that does not work.
std::vector<MemoryLine> explain_memory(const Study& study);

/// The step's totals: name, value and how it is made of others.
struct TotalLine {
    std::string name, value, how;
};
std::vector<TotalLine> explain_totals(const Study& study);

/// How the layout came about and what transformers' own would take, one sentence each; empty for a
/// plan given by hand.
std::vector<std::string> explain_layout(const Study& study);

/// The command line that gives the same answer: `command` is estimate, plan or sweep.
std::string command_line(const Study& study, std::string_view command);

}  // namespace tplan
