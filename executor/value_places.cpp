#include "executor/value_places.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <set>
#include <string>

#include "core/error.h"

namespace tplan {
namespace {

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

constexpr int kShared = -1;  // a version that has no memory of its own

/// The run of a section, in running order.
struct Place {
    int section = 0, layer = -1;
    std::size_t first = 0, count = 0;  // executed steps
};

std::vector<Place> places_of(const Program& program) {
    std::vector<Place> places;
    std::size_t first = 0;
    for (std::size_t p = 0; p < program.order.size(); ++p) {
        const auto count = program.sections[at(program.order[p])].steps.size();
        places.push_back({program.order[p], program.order_layer[p], first, count});
        first += count;
    }
    return places;
}

/// Follows every value from the place that makes it to those that read it. A version is the number
/// of the place that made the value.
class ValueTrace {
  public:
    ValueTrace(const Program& program, const std::vector<ExecutedStep>& steps)
        : program_(program),
          steps_(steps),
          places_(places_of(program)),
          versions_(steps.size()),
          current_(program.buffers.size(), kShared),
          forward_(program.buffers.size(), false) {
        for (const auto& place : places_) {
            if (is_forward(place)) note_forward(place);
        }
        for (std::size_t p = 0; p < places_.size(); ++p) {
            const int of = differentiated_section(program_, places_[p].section);
            if (of >= 0) {
                trace_backward(places_[p], mirror(of, places_[p].layer));
            } else {
                trace_forward(places_[p], static_cast<int>(p));
            }
        }
    }

    struct Versions {
        std::vector<int> inputs, outputs;
    };
    const Versions& step(std::size_t i) const { return versions_[i]; }
    /// Buffers whose values of the forward pass are read backwards.
    const std::set<int>& kept() const { return kept_; }

  private:
    const Step& step_at(std::size_t executed) const {
        return program_.sections[at(steps_[executed].section)].steps[at(steps_[executed].step)];
    }
    bool is_forward(const Place& place) const {
        return std::any_of(places_.begin(), places_.end(), [&](const Place& other) {
            return differentiated_section(program_, other.section) == place.section;
        });
    }
    void note_forward(const Place& place) {
        for (std::size_t i = place.first; i < place.first + place.count; ++i) {
            for (const auto* list : {&step_at(i).inputs, &step_at(i).outputs}) {
                for (const int b : *list) forward_[at(b)] = true;
            }
        }
    }
    /// The place of the forward pass that a place of the backward pass differentiates.
    std::size_t mirror(int section, int layer) const {
        const auto found = std::find_if(places_.begin(), places_.end(), [&](const Place& place) {
            return place.section == section && place.layer == layer;
        });
        assert(found != places_.end());
        return static_cast<std::size_t>(found - places_.begin());
    }

    /// The loss is traced alike: what it makes is no value of the forward pass.
    void trace_forward(const Place& place, int version) {
        for (std::size_t i = place.first; i < place.first + place.count; ++i) {
            const auto& step = step_at(i);
            for (const int b : step.inputs) versions_[i].inputs.push_back(current_[at(b)]);
            for (const int b : step.outputs) {
                if (forward_[at(b)]) current_[at(b)] = version;
                versions_[i].outputs.push_back(current_[at(b)]);
            }
        }
    }

    void trace_backward(const Place& place, std::size_t of) {
        std::set<int> made;  // values of the forward pass that were made again
        for (std::size_t i = place.first; i < place.first + place.count; ++i) {
            const auto& step = step_at(i);
            for (const int b : step.inputs) {
                if (!forward_[at(b)]) {
                    versions_[i].inputs.push_back(kShared);
                } else if (made.contains(b)) {
                    versions_[i].inputs.push_back(static_cast<int>(of));
                } else {
                    versions_[i].inputs.push_back(version_read(i, of, b));
                    kept_.insert(b);
                }
            }
            for (const int b : step.outputs) {
                versions_[i].outputs.push_back(forward_[at(b)] ? static_cast<int>(of) : kShared);
                if (forward_[at(b)]) made.insert(b);
            }
        }
    }

    /// The forward step that the backward step `i` belongs to: its name and a suffix.
    std::size_t source_of(std::size_t i, const Place& forward) const {
        const auto& name = step_at(i).name;
        std::size_t found = steps_.size(), length = 0;
        for (std::size_t f = forward.first; f < forward.first + forward.count; ++f) {
            const auto& candidate = step_at(f).name;
            if (candidate.size() < length || !name.starts_with(candidate + ".")) continue;
            found = f;
            length = candidate.size();
        }
        return found;
    }

    /// Which value of buffer `b` a backward step reads: what its forward step read, or made. A
    /// fused norm may make its sum where one of the summands lay; backwards the sum is read.
    int version_read(std::size_t i, std::size_t of, int b) const {
        const auto f = source_of(i, places_[of]);
        if (f < steps_.size()) {
            const auto& forward = step_at(f);
            const auto in = std::find(forward.inputs.begin(), forward.inputs.end(), b);
            const auto out = std::find(forward.outputs.begin(), forward.outputs.end(), b);
            const bool sum = forward.kind == OpKind::add_norm && out != forward.outputs.end();
            if (in != forward.inputs.end() && !sum)
                return versions_[f].inputs[static_cast<std::size_t>(in - forward.inputs.begin())];
            if (out != forward.outputs.end()) return static_cast<int>(of);
        }
        throw Error("program/" + steps_[i].id,
                    program_.buffers[at(b)].name +
                        ": which value the backward pass reads is not "
                        "clear",
                    "report this with the plan");
    }

    const Program& program_;
    const std::vector<ExecutedStep>& steps_;
    std::vector<Place> places_;
    std::vector<Versions> versions_;  // per executed step
    std::vector<int> current_;        // per buffer: the version it holds
    std::vector<bool> forward_;       // per buffer: a value of the forward pass
    std::set<int> kept_;
};

}  // namespace

ValuePlaces place_values(const Program& program, const std::vector<ExecutedStep>& steps, int rank) {
    const ValueTrace trace(program, steps);
    ValuePlaces places{place_buffers(program, rank), {}, {}};
    std::set<int> kept;  // allocations
    for (const int b : trace.kept()) kept.insert(places.buffers.places[at(b)].allocation);
    std::map<std::pair<int, int>, int> known;  // allocation and version
    const auto memory = [&](int buffer, int version) {
        const int allocation = places.buffers.places[at(buffer)].allocation;
        const std::pair key{allocation, kept.contains(allocation) ? version : kShared};
        const auto [it, fresh] = known.emplace(key, static_cast<int>(places.allocations.size()));
        if (fresh) places.allocations.push_back(allocation);
        return it->second;
    };
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const auto& step = program.sections[at(steps[i].section)].steps[at(steps[i].step)];
        auto& own = places.steps.emplace_back();
        for (std::size_t k = 0; k < step.inputs.size(); ++k)
            own.inputs.push_back(memory(step.inputs[k], trace.step(i).inputs[k]));
        for (std::size_t k = 0; k < step.outputs.size(); ++k)
            own.outputs.push_back(memory(step.outputs[k], trace.step(i).outputs[k]));
    }
    return places;
}

}  // namespace tplan
