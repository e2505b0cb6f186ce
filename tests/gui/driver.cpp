#include "tests/gui/driver.h"

#include <imgui_internal.h>

#include "tests/support/catch.h"

namespace tplan::test {

Driver::Driver(float width, float height, float scale, gui::View view) {
    context_ = ImGui::CreateContext();
    ImGui::SetCurrentContext(context_);
    auto& io = ImGui::GetIO();
    io.DisplaySize = {width, height};
    io.BackendFlags |= ImGuiBackendFlags_RendererHasVtxOffset;
    gui::prepare_keys();
    app.patience = std::chrono::hours(1);  // a slow machine gives the same frames
    app.work = make_workspace();
    app.view = std::move(view);
    app.view.scale = scale;
    app.view.built_in_font = true;
    app.view.still = true;
    gui::prepare(app);
    gui::inject_mouse(-1000, -1000);
    frames(3);
}

Driver::~Driver() {
    ImGui::DestroyContext(context_);
}

void Driver::frames(int count) {
    for (int i = 0; i < count; ++i) {
        ImGui::GetIO().DeltaTime = 1.0f / 60;
        if (gui::needs_fonts(app)) gui::prepare(app);
        ImGui::NewFrame();
        gui::frame(app);
        ImGui::Render();
    }
}

bool Driver::has(std::string_view item) const {
    return app.items.find(item) != app.items.end();
}

void Driver::hover(std::string_view item) {
    const auto found = app.items.find(item);
    INFO("item " << item);
    REQUIRE(found != app.items.end());
    const auto& [low, high] = found->second;
    gui::inject_mouse((low.x + high.x) / 2, (low.y + high.y) / 2);
    frames(2);
}

void Driver::click(std::string_view item) {
    hover(item);
    gui::inject_button(true);
    frames(2);
    gui::inject_button(false);
    frames(2);
}

void Driver::click_at(float x, float y) {
    gui::inject_mouse(x, y);
    frames(2);
    gui::inject_button(true);
    frames(2);
    gui::inject_button(false);
    frames(2);
}

void Driver::key(gui::Key key, bool ctrl, bool shift) {
    gui::inject_modifiers(ctrl, shift);
    gui::inject_key(key, true);
    frames(2);
    gui::inject_key(key, false);
    gui::inject_modifiers(false, false);
    frames(2);
}

void Driver::type(std::string_view text) {
    gui::inject_text(text);
    frames(2);
}

void Driver::open_70b() {
    click("welcome.llama-3.1-70b");
    REQUIRE(work().study);
}

void Driver::resize(float width, float height) {
    ImGui::GetIO().DisplaySize = {width, height};
    frames(2);
}

bool Driver::tooltip_shown() const {
    for (const auto* window : context_->Windows) {
        if (window->Active && (window->Flags & ImGuiWindowFlags_Tooltip) != 0 && !window->Hidden)
            return true;
    }
    return false;
}

}  // namespace tplan::test
