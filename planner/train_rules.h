#pragma once
#include <string>
#include <vector>

#include "planner/train_backward.h"

/// What the rules of the kinds of ops write a backward section with. Part of train_backward.cpp.

namespace tplan {

class Backward {
  public:
    Backward(Program& program, const Section& forward, Recompute recompute)
        : program_(program), forward_(forward), recompute_(recompute) {
        section_.name = forward.name + " backward";
        section_.layers.assign(forward.layers.rbegin(), forward.layers.rend());
    }

    Section run(const std::vector<int>& outgoing);

    // What rules are made of.
    const Step& step() const { return *step_; }
    const Buffer& buffer(int i) const { return program_.buffers[static_cast<std::size_t>(i)]; }
    GradientState out(std::size_t output) { return outs_[output]; }
    Step& append(const std::string& suffix, Pass pass);
    void give(std::size_t input, GradientState gradient);
    int gradient_of(std::size_t input) { return fresh(step_->inputs[input]); }
    bool is_held(int gradient) const;
    void scale_gradient(std::size_t input, int gradient);
    bool partial_from(std::size_t input) const;
    int kept(int value);
    void add_bias_gradients(bool of_collective);
    void reduce_whole_weights();

  private:
    GradientState& state(int value) {
        const auto index = static_cast<std::size_t>(value);
        if (index >= states_.size()) states_.resize(index + 1);
        return states_[index];
    }
    const Step* producer(int value) const;
    int fresh(int value);
    int target(int value);
    void leave_gradients();
    void recompute_values();
    void reduce(int value, GradientState& gradient);
    void add_to(int value, GradientState gradient);
    void run_collective();

    Program& program_;
    const Section& forward_;
    Recompute recompute_;
    Section section_;
    std::vector<GradientState> states_;  // by buffer of the value
    const Step* step_ = nullptr;
    std::size_t position_ = 0;
    std::vector<GradientState> outs_;  // of the outputs of `step_`
    std::vector<int> again_;           // gathered values that were gathered again
};

/// How a kind of op is differentiated.
struct BackwardRow {
    OpKind kind;
    void (*rule)(Backward&);
    bool cheap;  // a pass over memory whose result `selective` makes again
};

/// Requires a kind that computes.
const BackwardRow& backward_row(OpKind kind);

}  // namespace tplan
