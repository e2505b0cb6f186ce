#pragma once
#include <string>
#include <string_view>

#include "gui/app.h"
#include "gui/compat.h"

namespace tplan::test {

/// The window without a window: events go in as a platform backend would give them, and widgets are
/// found by name. Two frames follow every event, as ImGui spreads a press and its release.
class Driver {
  public:
    explicit Driver(float width = 1600, float height = 1000, float scale = 1,
                    gui::View view = gui::View{});
    Driver(const Driver&) = delete;
    Driver& operator=(const Driver&) = delete;
    ~Driver();

    void frames(int count);
    /// Fails the test when there is no such item.
    void hover(std::string_view item);
    void click(std::string_view item);
    void click_at(float x, float y);
    void key(gui::Key key, bool ctrl = false, bool shift = false);
    void type(std::string_view text);
    /// Opens llama-3.1-70b from the welcome page; fails the test when there is no study then.
    void open_70b();
    void resize(float width, float height);
    bool has(std::string_view item) const;

    const Workspace& work() const { return app.work; }
    const Study& study() const { return *app.work.study; }
    int tp() const { return app.work.inputs.request.plan.tp; }
    /// Text of the tooltip that the last frame showed; empty without one.
    const std::string& tooltip() const { return app.tooltip; }
    bool tooltip_shown() const;

    gui::App app;

  private:
    ImGuiContext* context_ = nullptr;
};

}  // namespace tplan::test
