#pragma once
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "planner/layout_space.h"
#include "planner/lower_block.h"

/// How make_layout_space() fills in the problem, block by block. For layout_space.cpp alone.

namespace tplan {

/// Layouts in which the residual stream crosses from block to block.
constexpr std::array kStreams = {LayoutState::replicated, LayoutState::tokens};

/// How the storage that embedding and head share is cut. Alternatives of entry and exit are
/// (tied storage, stream layout) pairs, the layout running faster.
enum class TiedStorage { whole, vocabulary, hidden };

constexpr unsigned bit_of(LayoutState state) {
    return 1U << static_cast<unsigned>(state);
}

/// What the blocks share: the catalogue of steps under way.
struct SpaceBuilder {
    LayoutSpace& space;
    const Model& model;
    bool norms_cross;  // a layer's last addition and the next one's first norm are one step
    Plan plan;         // cuts of the ops being lowered
    Lowering lowering;
    std::array<std::optional<Step>, 4> next_norms;  // by the stream's layout
    std::array<Split, 3> table{};                   // cuts of the embedding, by TiedStorage

    SpaceBuilder(LayoutSpace& out, const Model& of, DType dtype);

    int tp() const { return space.options.tp; }

    /// Adds a section to the catalogue; no number when it has no steps.
    std::vector<int> add_section(Section section);
};

/// Makes the decisions and couplings of one block.
class BlockSpace {
  public:
    BlockSpace(SpaceBuilder& builder, std::size_t number);
    void build();

  private:
    /// One alternative of a group: the choice of each op, and of projections that may run fused
    /// whether a collective takes their output: then none of the group is fused.
    struct Pick {
        std::vector<int> choices;
        std::vector<bool> moved;
    };

    /// Who reads an activation: a decision, and per alternative the set of layouts it needs.
    struct Reader {
        int decision = 0;
        std::vector<unsigned> needs;
    };

    bool is_last() const { return index_ + 1 == shared_.model.blocks.size(); }
    int tp() const { return shared_.tp(); }
    const std::optional<Shares>& shares() const { return shared_.space.options.shares; }
    std::size_t alternatives(int decision) const {
        return space_.decisions[static_cast<std::size_t>(decision)].sections.size();
    }
    int add_decision(SpaceDecision decision, std::string name);

    /// Couples two decisions; `entry(i, j, sections)` fills in the sections and says whether it is
    /// legal.
    template <class Entry>
    void couple(int a, int b, const Entry& entry) {
        SpaceCoupling coupling;
        Coupling numbers{a, b, {}};
        for (std::size_t i = 0; i < alternatives(a); ++i) {
            for (std::size_t j = 0; j < alternatives(b); ++j) {
                std::vector<int> sections;
                const bool legal = entry(i, j, sections);
                coupling.sections.push_back(std::move(sections));
                numbers.seconds.push_back(legal ? 0 : kIllegal);
            }
        }
        space_.couplings.push_back(std::move(coupling));
        problem_.couplings.push_back(std::move(numbers));
    }

    // Ends of the block (space_ops.cpp).
    static LayoutState stream_of(std::size_t alternative) {
        return kStreams[alternative % kStreams.size()];
    }
    static TiedStorage tied_of(std::size_t alternative) {
        return static_cast<TiedStorage>(alternative / kStreams.size());
    }
    std::size_t end_alternatives() const {
        return kStreams.size() * static_cast<std::size_t>(shared_.space.tied_modes);
    }
    void add_ends();

    // Ops and groups of ops (space_ops.cpp).
    void make_choices();
    void set_cuts(std::size_t op, const OpChoice& choice);
    OpFlow flow_of(std::size_t op, const OpChoice& choice) const;
    Section lower_ops(const std::vector<std::size_t>& ops, const Pick& pick);
    Step next_norm(LayoutState stream);
    double weight_bytes(std::size_t op, const OpChoice& choice, RankRange ranks);
    int choice_named(std::size_t op, std::string_view name) const;
    std::vector<Pick> projection_picks(const std::vector<std::size_t>& ops) const;
    std::vector<Pick> picks_of(const std::vector<std::size_t>& ops) const;
    std::vector<int> group_sections(const std::vector<std::size_t>& ops, const Pick& pick);
    void add_groups();
    bool is_crossed_norm(std::size_t op) const {
        return shared_.norms_cross && op == 0 && block_.input >= 0;
    }

    // Activations between them (space_links.cpp).
    LayoutState left_by(int decision, std::size_t alternative, int activation) const;
    bool may_supply(int decision, std::size_t alternative, int activation, unsigned set) const;
    std::vector<Reader> readers_of(int activation) const;
    int made_by(int activation) const;
    bool supply(int activation, LayoutState from, unsigned set, std::vector<int>& sections);
    void append_reshard(int activation, LayoutState from, LayoutState to,
                        std::vector<int>& sections);
    static std::vector<unsigned> unions(const std::vector<Reader>& readers);
    static void name_who_wants_whole(const std::vector<Reader>& readers,
                                     std::vector<unsigned>& sets,
                                     std::vector<std::size_t>& wanting);
    void join_activation(int activation);
    void tie_norms();
    void tie_storage();

    SpaceBuilder& shared_;
    std::size_t index_;
    const Block& block_;
    bool is_layer_;
    BlockLowering lower_;
    SpaceBlock& space_;
    ChoiceBlock& problem_;
    std::vector<int> group_of_;                   // per op: its decision
    std::vector<std::vector<Pick>> group_picks_;  // [group][alternative]
    int first_group_ = 0;
    std::vector<std::pair<std::vector<int>, bool>> reshards_;  // [activation][from][to]: sections
};

}  // namespace tplan
