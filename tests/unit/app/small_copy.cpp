#include "app/small_copy.h"

#include <algorithm>

#include "models/build.h"
#include "planner/plan.h"
#include "tests/support/catch.h"

using namespace tplan;

TEST_CASE("a small copy of every preset that runs keeps what decides its path") {
    for (const auto& name : preset_names()) {
        const auto config = load_model_config(name);
        for (const int tp : {1, 2, 4}) {
            PlanOptions options;
            options.tp = tp;
            if (!make_plan(config, build_model(config), options).plan) continue;
            INFO(name << " at TP " << tp);
            const auto small = small_copy(config, tp);
            const bool copied = config.kv_heads < tp;
            if (config.heads % tp != 0 || (!copied && config.kv_heads % tp != 0)) {
                CHECK(small.heads == config.heads);
                CHECK(small.kv_heads == config.kv_heads);
            } else {
                CHECK(small.kv_heads == std::min<std::int64_t>(config.kv_heads, tp));
            }
            if (!copied) CHECK(small.heads * config.kv_heads == config.heads * small.kv_heads);
            CHECK(small.layers >= 2);
            CHECK(small.layers == static_cast<std::int64_t>(small.layer_traits.size()));
            for (const auto& traits : config.layer_traits)
                CHECK(std::ranges::count(small.layer_traits, traits) >= 1);
            const auto model = build_model(small);
            CHECK(parameter_count(model) < (config.experts > 0 ? 50'000'000 : 25'000'000));
            CHECK(make_plan(small, model, options).plan);
        }
    }
}
