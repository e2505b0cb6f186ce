#pragma once
#include <string>

#include "app/study.h"

/// What the pages of serving and of training share, as HTML, and the page of training.

namespace tplan {

constexpr double kPageWidth = 62;  // em of a figure

std::string page_title(const Study& study);

/// The shard map of every kind of layer.
std::string shard_figures(const Study& study);

/// Every parameter of the kinds of layers with its cut.
std::string parameters_table(const Study& study);

/// Every figure of a profile with its source.
std::string sources_table(const HardwareProfile& hardware);

/// The run of a validated plan beside its prediction. Requires `study.validation`.
std::string measured_section(const Study& study);

/// The page of a training plan: its step in parts, memory, who holds what, every op. Requires
/// `study.training`.
std::string training_page(const Study& study);

}  // namespace tplan
