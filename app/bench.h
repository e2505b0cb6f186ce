#pragma once
#include <optional>
#include <string>

#include "core/json_io.h"

namespace tplan {

enum class BenchPart { all, estimates, search, executor };
constexpr auto enum_names(BenchPart) {
    return std::array<std::string_view, 4>{"all", "estimates", "search", "executor"};
}

/// `tplan.bench/1`; the keys of the parts that ran.
struct BenchDocument {
    std::string schema = "tplan.bench/1";
    std::optional<double> estimates_per_s_per_core;
    std::optional<std::int64_t> estimates;       // how many distinct inputs were priced
    std::optional<double> estimates_checksum_s;  // sum of all predicted times: nothing was skipped
    std::optional<double> search_s;      // fastest layout of llama-3.1-405b, tp 8, h100-sxm: median
    std::optional<double> search_all_s;  // degrees 1..16 on both links
    std::optional<double> plan_s;        // plan and lower llama-3.1-405b, tp 8: median
    std::optional<double> executor_vs_library;  // rate of the executor's linears over the library
                                                // alone, geometric mean
    std::optional<double> all_reduce_64k_s;     // two ranks, median of clean samples
    std::string machine;
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("estimates_per_s_per_core", self.estimates_per_s_per_core);
        field("estimates", self.estimates);
        field("estimates_checksum_s", self.estimates_checksum_s);
        field("search_s", self.search_s);
        field("search_all_s", self.search_all_s);
        field("plan_s", self.plan_s);
        field("executor_vs_library", self.executor_vs_library);
        field("all_reduce_64k_s", self.all_reduce_64k_s);
        field("machine", self.machine);
    }
};

/// Measures tplan's own speed.
BenchDocument bench(BenchPart part);

/// The figures of the parts that ran, as a table, and the machine.
std::string bench_text(const BenchDocument& document);

}  // namespace tplan
