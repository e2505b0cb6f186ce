#pragma once
/// The three headers that most test files spend most of their compile time on. Compiled once per
/// preset; a test file still includes what it uses.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tests/support/catch.h"
