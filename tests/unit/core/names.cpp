#include "core/names.h"

#include <array>

#include "tests/support/catch.h"

namespace {

enum class Fruit { apple, pear };
constexpr auto enum_names(Fruit) {
    return std::array<std::string_view, 2>{"apple", "pear"};
}

}  // namespace

TEST_CASE("an enumerator goes by the name at its value, also at compile time") {
    CHECK(tplan::name_of(Fruit::pear) == "pear");
    static_assert(tplan::name_of(Fruit::apple) == "apple");
}
