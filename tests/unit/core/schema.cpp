#include "core/schema.h"

#include "tests/support/catch.h"

using namespace tplan;

namespace {

enum class Fruit { apple, pear };
constexpr auto enum_names(Fruit) {
    return std::array<std::string_view, 2>{"apple", "pear"};
}

struct Seed {
    Bytes size;
    static void fields(auto& self, auto&& field) { field("size_bytes", self.size); }
};

struct Basket {
    std::string schema = "test.basket/1";
    static void fields(auto& self, auto&& field) { field("schema", self.schema); }
};

struct Market {
    std::string schema = "test.market/1";
    Fruit fruit = Fruit::pear;
    std::optional<int> price;
    Nullable<double> weight;
    std::vector<Seed> seeds;
    std::array<std::int64_t, 2> place{};
    Named<bool> open;
    Basket basket;
    Json rest;
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("fruit", self.fruit);
        field("price", self.price);
        field("weight", self.weight);
        field("seeds", self.seeds);
        field("place", self.place);
        field("open", self.open);
        field("basket", self.basket);
        field("rest", self.rest);
    }
};

}  // namespace

TEST_CASE("a document is described by the fields it is read and written with") {
    CHECK(describe<Market>() ==
          std::vector<SchemaRow>{{"schema", "string", "required"},
                                 {"fruit", "one of apple, pear", "required"},
                                 {"price", "integer", "may be absent"},
                                 {"weight", "number", "may be null"},
                                 {"seeds", "array", "required"},
                                 {"seeds[]", "object", ""},
                                 {"seeds[]/size_bytes", "number", "required"},
                                 {"place", "array of 2", "required"},
                                 {"place[]", "integer", ""},
                                 {"open", "object with free keys", "required"},
                                 {"open/<name>", "true or false", ""},
                                 {"basket", "the document test.basket/1", "required"},
                                 {"rest", "any JSON", "required"}});
    CHECK(schema_of<Market>().schema == "test.market/1");
}
