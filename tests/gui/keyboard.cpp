// Everything by keyboard: shortcuts, the palette, fields.
#include "gui/commands.h"
#include "tests/gui/driver.h"
#include "tests/support/catch.h"

using namespace tplan;
using namespace tplan::test;
using tplan::gui::Key;

namespace {

/// All that a command can change, in one text.
std::string state_of(const gui::App& app) {
    const auto& view = app.view;
    const auto& work = app.work;
    const auto& request = work.inputs.request;
    const auto asked = fmt::format("{} {} {} {} {} {}", request.plan.tp, request.cost.link,
                                   name_of(request.workload.phase), request.workload.batch,
                                   request.workload.context, work.inputs.hardware->name);
    const auto seen = fmt::format(
        "{} {} {} {} {} {} {} {} {} {} {} {} {}", view.scale, static_cast<int>(view.theme),
        view.layer, view.heads, view.activations, view.zoom, view.selected, view.details,
        view.palette, view.sheet, view.asking, view.centre, ImGui::GetIO().WantTextInput);
    return fmt::format("{} | {} | {} {} {} {} {} {}", asked, seen, work.undo.size(),
                       work.redo.size(), work.baseline != nullptr, work.error, name_of(work.run),
                       ImGui::GetClipboardText());
}

/// A window in which every command has something to change.
void prepare_for_commands(Driver& driver) {
    driver.open_70b();
    driver.key(Key::digit4);
    driver.key(Key::digit2);
    driver.key(Key::z, true);
    driver.app.view.selected = "self_attn.o_proj";
    driver.app.view.zoom = 2;
    driver.app.view.layer = 5;
    driver.app.view.scale = 1.1f;
    ImGui::SetClipboardText("before");
    driver.frames(3);
}

}  // namespace

TEST_CASE("explorer: every shortcut does what its command does") {
    for (const auto& command : gui::commands()) {
        if (command.key == Key::none || command.name == "tp.4") continue;
        INFO(command.name);
        std::string before, pressed, called;
        {
            Driver driver;
            prepare_for_commands(driver);
            before = state_of(driver.app);
            driver.key(command.key, command.ctrl, command.shift);
            pressed = state_of(driver.app);
        }
        {
            Driver driver;
            prepare_for_commands(driver);
            auto& app = driver.app;
            gui::Ui ui{app.work,  app.view,    app.fonts, app.actions,
                       app.items, app.tooltip, app.quit,  app.fonts.em};
            command.run(ui);
            driver.frames(4);
            called = state_of(app);
        }
        CHECK(pressed == called);
        if (command.name != "run.cancel") CHECK(pressed != before);
    }
}

TEST_CASE("explorer: no shortcut without Ctrl works while text is typed") {
    Driver driver;
    prepare_for_commands(driver);
    for (const auto& command : gui::commands()) {
        if (command.key == Key::none || command.ctrl || command.key == Key::escape) continue;
        INFO(command.name);
        driver.click("steps.filter");  // Tab leaves it
        const auto before = state_of(driver.app);
        driver.key(command.key, false, command.shift);
        if (command.key != Key::tab) CHECK(state_of(driver.app) == before);
    }
}

TEST_CASE("explorer: fields are reached with the keyboard alone") {
    Driver driver;
    driver.open_70b();
    const auto batch = driver.work().inputs.request.workload.batch;
    const auto context = driver.work().inputs.request.workload.context;
    bool set_batch = false, set_context = false;
    for (int i = 0; i < 12; ++i) {
        driver.key(Key::tab);
        if (!ImGui::GetIO().WantTextInput) continue;
        driver.type("3");
        set_batch = set_batch || driver.work().inputs.request.workload.batch != batch;
        set_context = set_context || driver.work().inputs.request.workload.context != context;
    }
    CHECK(set_batch);
    CHECK(set_context);
    driver.key(Key::escape);
    driver.key(Key::k, true);
    driver.type("edit.filter");
    driver.key(Key::enter);
    driver.frames(3);
    driver.type("q");
    CHECK(driver.app.view.filter == "q");
}

TEST_CASE("explorer: every command is in the palette and runs from there") {
    for (const auto& command : gui::commands()) {
        if (command.name == "palette" || command.name == "quit" || command.name == "run.calibrate")
            continue;
        INFO(command.name);
        Driver driver;
        driver.open_70b();
        driver.key(Key::k, true);
        REQUIRE(driver.app.view.palette);
        driver.type(command.name);
        REQUIRE(driver.has("palette." + std::string(command.name)));
        driver.key(Key::enter);
        CHECK_FALSE(driver.app.view.palette);
    }
}

TEST_CASE("explorer: letters typed into a field are not commands") {
    Driver driver;
    driver.open_70b();
    const auto link = driver.study().request.cost.link;
    driver.click("steps.filter");
    driver.key(Key::l);
    driver.type("l");
    CHECK(driver.study().request.cost.link == link);
    CHECK(driver.app.view.filter == "l");
}
