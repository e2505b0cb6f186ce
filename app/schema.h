#pragma once
#include <string>

namespace tplan {

/// data/schema.md: every key of every document that tplan reads or writes, generated from the
/// lists that its readers and writers use.
std::string schema_text();

}  // namespace tplan
