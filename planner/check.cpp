#include "planner/check.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <sstream>

#include "cost_model/mixed_hardware.h"
#include "planner/requirements.h"

namespace tplan {
namespace {

std::string shown(const Json& value) {
    return tplan::shown(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

bool same_number(const Json& a, const Json& b, double tolerance) {
    // Integers do not round: one byte more of 1.6 GB is an edit.
    if (a.is_number_integer() && b.is_number_integer()) return a == b;
    const auto x = a.get<double>();
    const auto y = b.get<double>();
    return std::abs(x - y) <= tolerance * std::max(std::abs(x), std::abs(y));
}

struct Comparison {
    std::vector<Difference> differences;
    std::size_t limit;
    double tolerance;

    bool full() const { return differences.size() >= limit; }
    void differ(const std::string& path, std::string found, std::string expected) {
        if (!full()) differences.push_back({path, std::move(found), std::move(expected)});
    }
    void compare(const Json& found, const Json& expected, const std::string& path) {
        if (full()) return;
        if (found.is_object() && expected.is_object()) {
            for (const auto& [key, value] : expected.items()) {
                const auto inside = path.empty() ? key : path + "/" + key;
                const auto it = found.find(key);
                if (it == found.end()) {
                    differ(inside, "missing", shown(value));
                } else {
                    compare(*it, value, inside);
                }
            }
            for (const auto& [key, value] : found.items()) {
                if (!expected.contains(key)) {
                    differ(path.empty() ? key : path + "/" + key, shown(value), "no such key");
                }
            }
        } else if (found.is_array() && expected.is_array()) {
            if (found.size() != expected.size()) {
                differ(path, fmt::format("{} entries", found.size()),
                       fmt::format("{} entries", expected.size()));
                return;
            }
            for (std::size_t i = 0; i < found.size() && !full(); ++i) {
                compare(found[i], expected[i], path + "/" + std::to_string(i));
            }
        } else if (found.is_number() && expected.is_number()) {
            if (!same_number(found, expected, tolerance))
                differ(path, shown(found), shown(expected));
        } else if (found != expected) {
            differ(path, shown(found), shown(expected));
        }
    }
};

bool calibrated_anew(const Json& found, const Json& source) {
    const auto tables = [](const Json& profile) {
        const auto at = profile.find("tables");
        return at == profile.end() ? Json() : at->value("gemm", Json::array());
    };
    const auto a = tables(found), b = tables(source);
    if (!a.is_array() || !b.is_array() || b.empty()) return false;
    if (a.size() != b.size()) return true;
    std::size_t other = 0;
    for (std::size_t i = 0; i < a.size(); ++i) other += a[i]["time_s"] != b[i]["time_s"] ? 1 : 0;
    return 2 * other > a.size();
}

/// A premise must still be what it was taken from, where that can be read: an edit to a figure that
/// this prediction happens not to use would otherwise pass. `load` gives the source's document.
/// More than half of a profile's measured times differing is not an edit: the machine was
/// calibrated anew.
template <class Load>
void compare_premise(const Json& found, const std::string& key,
                     std::vector<Difference>& differences, const Load& load) {
    Json source;
    try {
        source = load();
    } catch (const Error&) {
        return;  // moved, or on another machine: the recomputation alone must do
    }
    if (calibrated_anew(found, source)) return;
    for (auto& difference : compare_json(found, source, kMostDifferences, 0)) {
        difference.path = key + "/" + difference.path;
        differences.push_back(std::move(difference));
    }
}

std::int64_t volume(const ShardPiece& piece) {
    return std::accumulate(piece.shape.begin(), piece.shape.end(), std::int64_t{1},
                           std::multiplies<>());
}

/// Tests, without the planner's slice arithmetic, that the distinct pieces of a tensor lie inside
/// it, do not overlap and cover it. Copies of the same piece on several ranks are replicas and
/// count once.
std::string tiling_fault(const TensorShards& tensor) {
    std::map<std::vector<std::int64_t>, ShardPiece> distinct;  // by offset
    for (const auto& shard : tensor.shards) {
        for (const auto& piece : shard.pieces) {
            if (piece.shape.size() != tensor.shape.size() ||
                piece.offset.size() != tensor.shape.size()) {
                return fmt::format("rank {}: a piece has another number of dimensions", shard.rank);
            }
            for (std::size_t d = 0; d < tensor.shape.size(); ++d) {
                if (piece.offset[d] < 0 || piece.shape[d] < 1 ||
                    piece.offset[d] + piece.shape[d] > tensor.shape[d]) {
                    return fmt::format("rank {}: a piece leaves the tensor in dimension {}",
                                       shard.rank, d);
                }
            }
            const auto [it, inserted] = distinct.emplace(piece.offset, piece);
            if (!inserted && it->second.shape != piece.shape) {
                return fmt::format("rank {}: two pieces overlap", shard.rank);
            }
        }
    }
    std::int64_t covered = 0;
    std::int64_t end_before = 0;
    std::size_t cut_dim = 0;
    for (const auto& [offset, piece] : distinct) {
        covered += volume(piece);
        for (std::size_t d = 0; d < offset.size(); ++d) {
            if (piece.shape[d] != tensor.shape[d]) cut_dim = d;
        }
    }
    // Pieces differ along one dimension only, so ascending offsets must meet end to end.
    for (const auto& [offset, piece] : distinct) {
        if (offset[cut_dim] != end_before)
            return fmt::format("a gap or overlap at {} in dimension {}", end_before, cut_dim);
        end_before = offset[cut_dim] + piece.shape[cut_dim];
    }
    const auto whole = std::accumulate(tensor.shape.begin(), tensor.shape.end(), std::int64_t{1},
                                       std::multiplies<>());
    return covered == whole ? std::string()
                            : fmt::format("the shards hold {} of {} elements", covered, whole);
}

/// Did somebody change a number, rather than drop a key of the embedded configuration or profile or
/// give it another type? Errors that name no place in the document come from numbers that do not go
/// together.
bool is_edit(const Error& error, const Json& document, const std::string& where) {
    if (!error.where.starts_with(where + "/")) return true;
    const Json* at = &document;
    std::istringstream path(error.where.substr(where.size() + 1));
    for (std::string key; std::getline(path, key, '/');) {
        const bool element = at->is_array() && !key.empty() && key.size() < 9 &&
                             std::ranges::all_of(key, [](char c) { return c >= '0' && c <= '9'; });
        if (element && std::stoul(key) < at->size()) {
            at = &(*at)[std::stoul(key)];
        } else if (at->is_object() && at->contains(key)) {
            at = &(*at)[key];
        } else {
            return false;
        }
    }
    // The types of a profile have been read by now: what is wrong with a row of it are its numbers.
    const bool row = at->is_structured() && !error.where.starts_with(where + "/model");
    return at->is_number() || row;
}

std::vector<Difference> recompute(const Json& document, const PlanDocument& plan,
                                  const std::string& where) {
    require_ranges(plan.request, where + "/request");
    auto config = read_model_config(plan.model, where + "/model");
    require_graph(config);  // while its source is a place in this document
    config.source = plan.model_source;
    // Counted before anything is searched: a model edited to thousands of layers takes minutes.
    const auto& places = plan.program.order_layer;
    const auto layers = places.empty() ? 0 : *std::ranges::max_element(places) + 1;
    if (layers != config.layers) {
        return {{"model", fmt::format("{} layers", config.layers),
                 fmt::format("{}, as the program has", layers)}};
    }
    // The profile is read with the same range checks as a profile file; its figures are the
    // premises of the plan.
    auto hardware = read_hardware(to_json(plan.hardware), where + "/hardware");
    hardware.origin = plan.hardware_source;
    const auto result = make_plan_document(config, hardware, plan.request);
    if (!result.document) {
        return {{"tp", std::to_string(plan.tp), "no feasible plan for the embedded configuration"}};
    }
    auto differences = compare_json(document, to_json(*result.document), kMostDifferences);
    compare_premise(document["hardware"], "hardware", differences,
                    [&] { return to_json(load_group(plan.hardware_source)); });
    compare_premise(document["model"], "model", differences,
                    [&] { return load_model_config(plan.model_source).document; });
    if (plan.certificate && plan.layout) {
        auto options = plan.request.plan;
        options.tp = plan.tp;
        const auto fault =
            certificate_fault(build_model(config), options, hardware, plan.request.cost,
                              plan.workload, *plan.layout, *plan.certificate);
        if (!fault.empty()) differences.push_back({"certificate", fault, "a proof that holds"});
    }
    for (const auto& tensor : plan.tensors) {
        if (differences.size() >= kMostDifferences) break;
        if (const auto fault = tiling_fault(tensor); !fault.empty()) {
            differences.push_back({"tensors/" + tensor.name, fault, "shards that tile the tensor"});
        }
    }
    return differences;
}

}  // namespace

std::string first_of(const std::vector<Difference>& differences) {
    const auto& first = differences.front();
    const auto count = differences.size();
    return fmt::format("{} at {}: found {}, expected {}",
                       count == 1 ? "1 value differs,"
                                  : fmt::format("{}{} values differ, the first", count,
                                                count < kMostDifferences ? "" : " or more"),
                       first.path, first.found, first.expected);
}

std::vector<Difference> compare_json(const Json& found, const Json& expected, std::size_t limit,
                                     double tolerance) {
    Comparison comparison{{}, limit, tolerance};
    comparison.compare(found, expected, "");
    return std::move(comparison.differences);
}

PlanDocument read_plan(const Json& document, const std::string& where) {
    require_schema(document, PlanDocument{}.schema, where);
    auto plan = from_json<PlanDocument>(document, where);
    require_ranges(plan.request, where + "/request");
    return plan;
}

Difference edit_of(const Error& error, const std::string& where) {
    const bool inside = error.where.starts_with(where + "/");
    return {inside ? error.where.substr(where.size() + 1) : error.where, error.what_happened,
            error.hint.empty() ? "a number that can stand here" : error.hint};
}

std::vector<Difference> check_plan(const Json& document, const std::string& where) {
    require_schema(document, PlanDocument{}.schema, where);
    PlanDocument plan;
    try {
        plan = from_json<PlanDocument>(document, where);
    } catch (const OutOfRange& error) {
        return {edit_of(error, where)};
    }
    try {
        return recompute(document, plan, where);
    } catch (const Error& error) {
        if (!is_edit(error, document, where)) throw;
        return {edit_of(error, where)};
    }
}

}  // namespace tplan
