// What can be read in every state of the window: nothing overlaps, nothing is cut off.
#include <fstream>

#include "gui/panels.h"
#include "gui/widgets.h"
#include "tests/gui/text_runs.h"
#include "tests/gui/tiny.h"
#include "tests/support/catch.h"

using namespace tplan;
using namespace tplan::test;

namespace {

struct State {
    const char* name;
    void (*enter)(Driver& driver, const TempDir& folder);
};

void act(Driver& driver, ActionKind kind, const std::string& text, std::int64_t number = 0) {
    apply(driver.app.work, {kind, text, number});
}

void show_run(Driver& driver, RunState state, const std::string& what) {
    gui::show(driver.app.view, "run");
    driver.app.work.run = state;
    driver.app.work.run_what = what;
    driver.app.work.run_done = 0.4;
}

constexpr std::array kStates = {
    State{"empty", [](Driver&, const TempDir&) {}},
    State{"a model", [](Driver& d, const TempDir&) { d.open_70b(); }},
    State{"every tab",
          [](Driver& d, const TempDir&) {
              for (const auto* tab : {"overview", "time", "roofline"}) gui::show(d.app.view, tab);
          }},
    State{"other tabs",
          [](Driver& d, const TempDir&) {
              for (const auto* tab : {"interconnect", "speedup", "timeline"})
                  gui::show(d.app.view, tab);
          }},
    State{"a step selected",
          [](Driver& d, const TempDir&) {
              for (const auto* tab : {"steps", "latency", "shard-map"}) gui::show(d.app.view, tab);
              d.app.view.selected = "self_attn.o_proj.all_reduce";
          }},
    State{"over memory",
          [](Driver& d, const TempDir&) {
              d.app.view.selected.clear();
              act(d, ActionKind::set_tp, "", 1);
          }},
    State{"two nodes, copied KV heads",
          [](Driver& d, const TempDir&) {
              act(d, ActionKind::set_nodes, "", 2);
              act(d, ActionKind::set_tp, "", 16);
          }},
    State{"a degree that does not work",
          [](Driver& d, const TempDir&) {
              act(d, ActionKind::set_layout, "hf");
              act(d, ActionKind::set_tp, "", 3);
          }},
    State{"invalid input", [](Driver& d, const TempDir&) { act(d, ActionKind::open, "no-such"); }},
    State{"stale",
          [](Driver& d, const TempDir&) {
              d.app.work.stale = true;
              d.app.work.error = "config.json/num_heads: expected an integer, got 3.7";
          }},
    State{"a pinned baseline",
          [](Driver& d, const TempDir&) {
              act(d, ActionKind::set_tp, "", 4);
              act(d, ActionKind::pin, "");
              act(d, ActionKind::set_tp, "", 8);
          }},
    State{"running", [](Driver& d, const TempDir&) { show_run(d, RunState::running, "run"); }},
    State{"cancelling", [](Driver& d, const TempDir&) { show_run(d, RunState::stopping, "run"); }},
    State{"a failed rank",
          [](Driver& d, const TempDir&) {
              show_run(d, RunState::failed,
                       "tplan: rank 1: was killed by signal 9 in step #12 self_attn.o_proj "
                       "(all_reduce): the other ranks were ended");
              Validation partial;
              partial.verdict = RunVerdict::failed;
              partial.measured.step_samples.resize(9);
              partial.last_steps = {{0, {{12, "self_attn.o_proj.all_reduce", "all_reduce"}}},
                                    {1, {{11, "self_attn.o_proj", "linear"}}}};
              d.app.work.partial = partial;
          }},
    State{"a run that is done",
          [](Driver& d, const TempDir& folder) {
              open_tiny(d, folder);
              d.app.work.run = RunState::none;
              d.app.work.partial.reset();
              act(d, ActionKind::run, "");
              while (d.work().worker) d.frames(1);
              REQUIRE(d.study().validation);
              gui::show(d.app.view, "run");
          }},
    State{"steps measured", [](Driver& d, const TempDir&) { gui::show(d.app.view, "steps"); }},
    State{"timeline measured",
          [](Driver& d, const TempDir&) { gui::show(d.app.view, "timeline"); }},
    State{"the palette", [](Driver& d, const TempDir&) { d.app.view.palette = true; }},
    State{"the sheet",
          [](Driver& d, const TempDir&) {
              d.app.view.palette = false;
              d.app.view.sheet = true;
          }},
    State{"a path asked for",
          [](Driver& d, const TempDir&) {
              d.app.view.sheet = false;
              d.app.view.asking = "save";
              d.app.view.path = "plan.json";
          }},
};

}  // namespace

TEST_CASE("explorer: no text overlaps or is cut off, in every state and size") {
    for (const bool built_in : {true, false}) {
        for (const auto& [width, height, scale] :
             {std::tuple{800.0f, 600.0f, 1.0f}, std::tuple{1024.0f, 700.0f, 1.0f},
              std::tuple{1600.0f, 1000.0f, 1.0f}, std::tuple{1600.0f, 1000.0f, 2.0f},
              std::tuple{3200.0f, 2000.0f, 2.0f}}) {
            TempDir folder;
            Driver driver(width, height, scale);
            driver.app.view.built_in_font = built_in;
            gui::prepare(driver.app);
            for (const auto& state : kStates) {
                state.enter(driver, folder);
                driver.frames(4);
                INFO(state.name << " at " << width << "x" << height << ", scale " << scale
                                << (built_in ? ", built-in font" : ", the machine's font"));
                const auto runs = text_runs(*ImGui::GetDrawData(), driver.app.fonts.em);
                CHECK(runs.size() > 5);
                CHECK(fmt::format("{}", fmt::join(text_faults(runs), "\n")) == "");
            }
        }
    }
}

TEST_CASE("explorer: every tab of a small window can be read, and the shard map keeps its room") {
    for (const auto& [width, height, scale] :
         {std::tuple{800.0f, 600.0f, 1.0f}, std::tuple{1024.0f, 700.0f, 1.0f},
          std::tuple{1600.0f, 1000.0f, 2.0f}, std::tuple{1600.0f, 1000.0f, 1.0f}}) {
        Driver driver(width, height, scale);
        driver.open_70b();
        for (const auto& tab : kPaneTabs) {
            gui::show(driver.app.view, tab.name());
            driver.frames(3);
            INFO(tab.name() << " at " << width << "x" << height << ", scale " << scale);
            const auto runs = text_runs(*ImGui::GetDrawData(), driver.app.fonts.em);
            CHECK(fmt::format("{}", fmt::join(text_faults(runs), "\n")) == "");
            const bool elsewhere = tab.name() == "details" && !driver.has("strip.details");
            CHECK((elsewhere || driver.has(fmt::format("{}.{}", name_of(tab.pane), tab.name())) ||
                   tab.pane == Pane::memory));
        }
        gui::show(driver.app.view, "shard-map");
        driver.frames(3);
        const auto& panel = driver.app.items.at("panel.centre");
        CHECK((panel.high.y - panel.low.y) / driver.app.fonts.em >= 17);
        CHECK(driver.has("figure.shard-map"));
    }
}

TEST_CASE("text runs: an overlap and a cut are found") {
    Driver driver(400, 300);
    const auto faults_of = [&](ImVec2 second, float width) {
        for (int frame = 0; frame < 2; ++frame) {
            ImGui::NewFrame();
            ImGui::SetNextWindowPos({0, 0});
            ImGui::SetNextWindowSize({width, 200});
            ImGui::Begin("texts", nullptr,
                         ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoScrollWithMouse);
            auto& draw = *ImGui::GetWindowDrawList();
            draw.AddText({20, 20}, IM_COL32_WHITE, "first text");
            draw.AddText(second, IM_COL32_WHITE, "second");
            ImGui::End();
            ImGui::Render();
        }
        return text_faults(text_runs(*ImGui::GetDrawData(), driver.app.fonts.em));
    };
    CHECK(faults_of({20, 60}, 300).empty());
    REQUIRE(faults_of({40, 22}, 300).size() == 1);
    CHECK_THAT(faults_of({40, 22}, 300).front(), Catch::Contains("overlaps"));
    REQUIRE_FALSE(faults_of({80, 60}, 102).empty());
    CHECK_THAT(faults_of({80, 60}, 102).front(), Catch::Contains("cut off"));
}

TEST_CASE("explorer: lines break at spaces only, and no line is wider than the panel") {
    Driver driver;
    const auto& face = gui::face_for(driver.app.fonts, driver.app.fonts.em, false);
    const auto wide = [&](const char* text) {
        return face.font->CalcTextSizeA(face.size, 1e9f, 0, text).x;
    };
    const float width = wide("it saves 1.09 ms");
    CHECK(gui::broken_at_spaces(face, "it saves 1.09 ms", width) == "it saves 1.09 ms");
    CHECK(gui::broken_at_spaces(face, "it saves 1.09 ms of", width) == "it saves 1.09 ms\nof");
    CHECK(gui::broken_at_spaces(face, "it saves 1.09", wide("it saves 1.")) == "it saves\n1.09");
    CHECK(gui::broken_at_spaces(face, "config.json/num_heads", 1) == "config.json/num_heads");
    CHECK(gui::broken_at_spaces(face, "two\nlines", width) == "two\nlines");
    CHECK(gui::broken_at_spaces(face, "", width).empty());
}
