#pragma once
#include <stdexcept>
#include <string>
#include <string_view>

namespace tplan {

/// The world is wrong: a missing file, bad JSON, no such preset. Reported as "where: what; hint",
/// exit code 2. Always one line of bounded length, whatever a file quoted in it holds: line ends
/// become spaces, other control characters \xNN, and each part is cut at 1,000 bytes.
struct Error : std::runtime_error {
    std::string where;          // file, JSON path, flag or rank
    std::string what_happened;  // what was found and what was expected
    std::string hint;           // what to do; may be empty

    Error(std::string_view where_, std::string_view what_, std::string_view hint_ = {});
};

/// The answer is no: one reason why a degree or layout is infeasible. A value, never thrown. Exit
/// code 1.
struct Violation {
    std::string code;     // heads_not_divisible, kv_heads_not_divisible, ffn_not_divisible, ..: see
                          // Violation in data/schema.md
    std::string subject;  // the module or parameter concerned, "layers.*.self_attn.k_proj"
    std::string need;     // "num_key_value_heads % tp == 0"
    std::string have;     // "8 % 3 = 2"
    std::string message;  // one sentence for people, with what to do

    static void fields(auto& self, auto&& field) {
        field("code", self.code);
        field("subject", self.subject);
        field("need", self.need);
        field("have", self.have);
        field("message", self.message);
    }
    bool operator==(const Violation&) const = default;
};

}  // namespace tplan
