#include "cost_model/memory.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>

#include "cost_model/op_cost.h"

namespace tplan {

namespace {

std::size_t index(int i) {
    return static_cast<std::size_t>(i);
}

double local_elements(const ShardedTensor& tensor, int rank) {
    double elements = 1;
    for (const auto extent : tensor.shape) elements *= static_cast<double>(extent);
    if (tensor.split.kind == SplitKind::whole || elements == 0) return elements;
    const auto extent = tensor.shape[index(tensor.split.dim)];
    return elements / static_cast<double>(extent) *
           static_cast<double>(local_extent(tensor.split, extent, rank));
}

std::string module_of(const std::string& name) {
    return name.substr(0, name.rfind('.'));
}

/// How many layers own an instance of each tensor: the distinct (tensor, layer) pairs that the
/// program's sequence reads. Neighbours in the list stand in for tensors that no step reads.
std::vector<double> instances(const Program& program) {
    std::set<std::pair<int, int>> seen;
    const auto places = program.order.size();
    for (std::size_t p = 0; p < places; ++p) {
        const int layer = program.order_layer[p];
        const int next = p + 1 < places ? program.order_layer[p + 1] : -1;
        const auto read = [&](const WeightRef& ref) {
            if (!ref.next_layer) {
                seen.emplace(ref.tensor, layer);
            } else if (next >= 0) {
                seen.emplace(ref.tensor, next);
            } else if (ref.last >= 0) {
                seen.emplace(ref.last, -1);
            }
        };
        for (const auto& step : program.sections[index(program.order[p])].steps) {
            std::for_each(step.weights.begin(), step.weights.end(), read);
            std::for_each(step.biases.begin(), step.biases.end(), read);
        }
    }
    std::vector<double> counts(program.tensors.size(), 0);
    for (const auto& [tensor, layer] : seen) counts[index(tensor)] += 1;

    std::map<std::string, double> by_module;
    for (std::size_t t = 0; t < counts.size(); ++t) {
        if (counts[t] > 0) by_module[module_of(program.tensors[t].name)] = counts[t];
    }
    double previous = 1;
    for (std::size_t t = 0; t < counts.size(); ++t) {
        const auto& name = program.tensors[t].name;
        if (counts[t] == 0) {
            const auto sibling = by_module.find(module_of(name));
            const bool repeated = name.find('*') != std::string::npos;
            counts[t] = sibling != by_module.end() ? sibling->second : (repeated ? previous : 1);
        }
        if (name.find('*') != std::string::npos) previous = counts[t];
    }
    return counts;
}

/// Buffers some section reads before it writes them: they carry values between sections.
std::vector<bool> carried_buffers(const Program& program) {
    std::vector<bool> carried(program.buffers.size(), false);
    for (const auto& section : program.sections) {
        std::vector<bool> written(program.buffers.size(), false);
        for (const auto& step : section.steps) {
            for (const int b : step.inputs) {
                if (!written[index(b)]) carried[index(b)] = true;
            }
            for (const int b : step.outputs) written[index(b)] = true;
        }
    }
    return carried;
}

/// Whether the program ends in the choice of tokens, not in logits.
bool chooses_tokens(const Program& program) {
    if (program.order.empty()) return false;
    const auto& head = program.sections[index(program.order.back())];
    return !head.steps.empty() && head.steps.back().kind == OpKind::largest;
}

/// Bytes per element of a buffer of the head: candidates are fp32 whatever the logits are.
double element_bytes(const Program& program, int buffer, double activation) {
    for (const auto& step : program.sections[index(program.order.back())].steps) {
        const auto& out = step.outputs;
        if (std::find(out.begin(), out.end(), buffer) == out.end()) continue;
        if (step.kind == OpKind::largest) return bytes_of(DType::fp32);
        if (is_collective(step.kind)) return bytes_of(stored_dtype(step.dtype));
    }
    return activation;
}

/// Columns of a rank for each row of the whole; a share of the rows counts as a share of columns.
double local_columns(const Program& program, const Buffer& buffer) {
    const auto width =
        static_cast<double>(largest_width(buffer.layout, buffer.width, program.ranks));
    return buffer.layout.splits_rows() ? width / buffer.layout.split.parts : width;
}

/// Buffers of the last section from its last product on: the logits and their gathered copy.
std::vector<int> logits_buffers(const Program& program) {
    if (program.order.size() < 2) return {};
    const auto& head = program.sections[index(program.order.back())];
    if (program.order_layer.back() >= 0) return {};
    std::vector<int> buffers;
    bool product = false;
    for (auto step = head.steps.rbegin(); step != head.steps.rend() && !product; ++step) {
        for (const int b : step->outputs) {
            if (std::find(buffers.begin(), buffers.end(), b) == buffers.end()) buffers.push_back(b);
        }
        product = step->kind == OpKind::linear;
    }
    return product ? buffers : std::vector<int>{};
}

/// What a fused op holds inside: experts gather their tokens, and keep both inner activations and
/// the outputs, per routed token.
double inner_columns(const StepShape& s) {
    if (s.kind != OpKind::moe_experts || s.all_experts <= 0) return 0;
    const double routed = s.top_k * s.experts / s.all_experts;
    return routed * (2 * s.hidden + s.expert_columns + s.ffn);
}

/// Columns alive at each step of a section, walking back from its end: a value is alive from the
/// step that writes it to the last that reads it. `alive` comes in as what outlives the section.
void add_live(const Program& program, const Section& section, std::vector<bool> alive,
              const std::vector<int>& excluded, std::vector<LiveColumns>& live) {
    for (auto step = section.steps.rbegin(); step != section.steps.rend(); ++step) {
        for (const int b : step->inputs) alive[index(b)] = true;
        for (const int b : step->outputs) alive[index(b)] = true;
        for (const int b : excluded) alive[index(b)] = false;
        auto& columns = live.emplace_back();
        for (std::size_t b = 0; b < alive.size(); ++b) {
            if (!alive[b]) continue;
            const auto& buffer = program.buffers[b];
            auto& sum = buffer.rows == Rows::tokens ? columns.tokens : columns.sequences;
            sum += local_columns(program, buffer);
        }
        columns.tokens += inner_columns(step_shape(*step, program));
        for (const int b : step->outputs) {
            const auto& in = step->inputs;
            if (std::find(in.begin(), in.end(), b) == in.end()) alive[index(b)] = false;
        }
    }
}

/// Keeps the entries that can be the largest: there are at least as many tokens as sequences, so
/// one entry beats another with fewer columns in tokens and in both together.
void keep_peaks(std::vector<LiveColumns>& live) {
    std::sort(live.begin(), live.end(), [](const LiveColumns& a, const LiveColumns& b) {
        return a.tokens != b.tokens ? a.tokens > b.tokens : a.sequences > b.sequences;
    });
    double most = -1;
    std::erase_if(live, [&most](const LiveColumns& entry) {
        const double both = entry.tokens + entry.sequences;
        if (both <= most) return true;
        most = both;
        return false;
    });
}

/// Largest c with slope * c + kv_element * sum(columns * min(c, window)) <= budget.
double solve_context(const MemoryTerms& terms, double kv_element, double slope, double budget) {
    double fixed = 0, growing = slope;
    for (const auto& group : terms.kv) growing += group.columns * kv_element;
    for (const auto& group : terms.kv) {
        if (growing <= 0) break;
        const double reach = (budget - fixed) / growing;
        if (group.window <= 0 || reach <= group.window) return reach;
        fixed += group.columns * kv_element * group.window;
        growing -= group.columns * kv_element;
    }
    if (growing > slope * 1e-9 && growing > 0) return (budget - fixed) / growing;
    return budget >= fixed ? std::numeric_limits<double>::infinity() : 0;
}

/// The largest whole number in [0, kMaxCount] that `fits`, found from a guess that rounding may
/// have moved by a step or two.
template <class Fits>
std::int64_t settle(double guess, Fits fits) {
    const double bounded = std::clamp(guess, 0.0, static_cast<double>(kMaxCount));
    auto count = static_cast<std::int64_t>(bounded);
    while (count > 0 && !fits(count)) --count;
    while (count < kMaxCount && fits(count + 1)) ++count;
    return count;
}

}  // namespace

double weight_bytes_per_rank(const Program& program) {
    const auto counts = instances(program);
    double most = 0;
    for (int rank = program.ranks.begin; rank < std::min(program.ranks.end, program.tp); ++rank) {
        double bytes = 0;
        for (std::size_t t = 0; t < program.tensors.size(); ++t) {
            const auto& tensor = program.tensors[t];
            if (tensor.tied) continue;
            bytes += counts[t] * local_elements(tensor, rank) * bytes_of(tensor.dtype);
        }
        most = std::max(most, bytes);
    }
    return most;
}

MemoryTerms memory_terms(const Program& program) {
    MemoryTerms terms;
    terms.weights = weight_bytes_per_rank(program);
    terms.max_positions = program.max_positions;

    std::map<double, double> columns_by_window;
    for (const int s : program.order) {
        const auto& section = program.sections[index(s)];
        if (section.kv_width == 0) continue;
        columns_by_window[static_cast<double>(section.kv_window)] +=
            static_cast<double>(section.kv_width);
    }
    for (const auto& [window, columns] : columns_by_window) {
        if (window > 0) terms.kv.push_back({columns, window});
    }
    if (columns_by_window.contains(0)) terms.kv.push_back({columns_by_window.at(0), 0});

    for (const auto& section : program.sections) {
        if (section.steps.empty()) continue;
        terms.activation = bytes_of(stored_dtype(section.steps.front().dtype));
        break;
    }
    const auto logits = logits_buffers(program);
    const auto carried = carried_buffers(program);
    for (std::size_t s = 0; s < program.sections.size(); ++s) {
        const bool last = !program.order.empty() && index(program.order.back()) == s;
        const auto after = last ? std::vector<bool>(program.buffers.size(), false) : carried;
        add_live(program, program.sections[s], after, logits, terms.live);
    }
    keep_peaks(terms.live);
    const auto add_logits = [&](const Buffer& buffer, double element) {
        auto& bytes =
            buffer.rows == Rows::tokens ? terms.logits_per_token : terms.logits_per_sequence;
        bytes += local_columns(program, buffer) * element;
    };
    for (const int b : logits)
        add_logits(program.buffers[index(b)], element_bytes(program, b, terms.activation));
    // Sampling works on a copy of the final logits in fp32; the largest is found as they are.
    if (!logits.empty() && !chooses_tokens(program))
        add_logits(program.buffers[index(logits.front())], bytes_of(DType::fp32));
    return terms;
}

double kv_cache_bytes(const MemoryTerms& terms, double batch, double cached, double kv_element) {
    double columns = 0;
    for (const auto& group : terms.kv) {
        columns += group.columns * (group.window > 0 ? std::min(cached, group.window) : cached);
    }
    return batch * columns * kv_element;
}

double activation_bytes(const MemoryTerms& terms, double batch, double query) {
    double columns = 0;
    for (const auto& live : terms.live) {
        columns = std::max(columns, live.tokens * query + live.sequences);
    }
    return batch * columns * terms.activation;
}

double logits_bytes(const MemoryTerms& terms, double batch, double query) {
    return batch * (terms.logits_per_sequence + terms.logits_per_token * query);
}

double total_bytes(const MemoryTerms& terms, double batch, double query, double cached,
                   double kv_element) {
    return terms.weights + terms.workspace + terms.communication +
           kv_cache_bytes(terms, batch, cached, kv_element) +
           activation_bytes(terms, batch, query) + logits_bytes(terms, batch, query);
}

std::int64_t largest_batch(const MemoryTerms& terms, const Workload& workload) {
    const auto query = static_cast<double>(workload.query_tokens());
    const auto cached = static_cast<double>(workload.cached_tokens());
    const double element = bytes_of(workload.kv_dtype);
    const double fixed = terms.weights + terms.workspace + terms.communication;
    const double each = total_bytes(terms, 1, query, cached, element) - fixed;
    if (fixed > terms.capacity) return 0;
    if (each <= 0) return kMaxCount;
    return settle((terms.capacity - fixed) / each, [&](std::int64_t batch) {
        return total_bytes(terms, static_cast<double>(batch), query, cached, element) <=
               terms.capacity;
    });
}

std::int64_t largest_context(const MemoryTerms& terms, const Workload& workload) {
    const auto batch = static_cast<double>(workload.batch);
    const double element = bytes_of(workload.kv_dtype);
    const bool prefill = workload.phase != Phase::decode;
    const double budget =
        (terms.capacity - terms.weights - terms.workspace - terms.communication) / batch;
    const auto bound = [&](const LiveColumns& live) {
        const double tokens = live.tokens * terms.activation + terms.logits_per_token;
        const double fixed = live.sequences * terms.activation + terms.logits_per_sequence;
        return prefill ? solve_context(terms, element, tokens, budget - fixed)
                       : solve_context(terms, element, 0, budget - fixed - tokens);
    };
    double guess = terms.live.empty() ? bound({}) : std::numeric_limits<double>::infinity();
    for (const auto& live : terms.live) guess = std::min(guess, bound(live));
    if (guess < 1) guess = 0;
    const auto longest = settle(guess, [&](std::int64_t context) {
        const auto cached = static_cast<double>(context);
        return total_bytes(terms, batch, prefill ? cached : 1, cached, element) <= terms.capacity;
    });
    return terms.max_positions > 0 ? std::min(longest, terms.max_positions) : longest;
}

}  // namespace tplan
