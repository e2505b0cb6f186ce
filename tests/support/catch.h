#pragma once
/// Catch2 v2 (Debian 12) and v3 through one include. Write Catch::Approx qualified.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
namespace Catch {
using Detail::Approx;  // v2 has it only there and globally
}
#endif
