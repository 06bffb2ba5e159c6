// The window of the operating system: GLFW, OpenGL 3.3 and Dear ImGui's two back ends. Frames happen only when somebody
// asks for one, so an idle window costs nothing. Without a display it draws into an off-screen buffer (EGL
// surfaceless). All members belong to the GUI thread except wake().
#pragma once

#include <condition_variable>
#include <functional>
#include <imgui.h>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "panels/ui/context.hpp"

struct GLFWwindow;

namespace moescope::app {

/// Pixels of a finished frame: RGBA, top row first.
struct Image {
    int width = 0, height = 0;
    std::vector<unsigned char> rgba;
};

struct PlatformOptions {
    bool headless = false;
    int width = 1600, height = 900;  ///< pixels
    bool fit = true;                 ///< no larger than the screen has room for, and placed inside it
    std::string title = "Moescope";
};

class Platform {
 public:
    /// Opens the window and creates the contexts of ImGui and ImPlot. Throws std::runtime_error with a sentence for a
    /// person.
    explicit Platform(const PlatformOptions& options);
    ~Platform();
    Platform(const Platform&) = delete;
    Platform& operator=(const Platform&) = delete;

    void begin_frame();
    /// Ends ImGui's frame (ImGui::Render); the CPU time between the two is the program's build time.
    void end_frame();
    /// Draws what end_frame() produced and shows it.
    void present();
    /// What end_frame() produced, drawn once more into a buffer of our own: what a window's buffers hold once a frame
    /// is shown, OpenGL leaves open (under software renderers the front one is black). With `keep` only the draw lists
    /// that it accepts. Call between end_frame() and the next begin_frame().
    Image read_pixels(const std::function<bool(const ImDrawList&)>& keep = {});

    /// A picture on the graphics card: RGBA, [height][width], top row first. It must be gone before the platform is.
    std::shared_ptr<const ui::Picture> make_picture(int width, int height, const std::vector<ImU32>& pixels);

    /// Waits for input, wake() or the time-out (0: not at all, below 0: for ever), then handles events.
    void wait(double timeout_seconds);
    /// Ends a wait; any thread.
    void wake();
    bool take_input();  ///< whether a person did something since the last call
    /// What the window system calls when files are dropped on the window.
    void receive_drop(int count, const char** paths);
    std::vector<std::string> take_dropped();
    bool should_close() const;
    void set_should_close(bool close);
    void set_size(int width, int height);
    void size(int& width, int& height) const;
    float content_scale() const;  ///< of the monitor; 1 for 96 dpi
    bool headless() const { return options_.headless; }

 private:
    static Platform& of(GLFWwindow* window);
    void create_window();
    void fit_to_screen();
    void install_callbacks();
    void prepare_canvas(int width, int height);
    void draw(ImDrawData& data, int width, int height);

    PlatformOptions options_;
    GLFWwindow* window_ = nullptr;
    /// What pictures are read from. Without a display everything is drawn into it: the surface that GLFW makes there
    /// never changes its size.
    struct Canvas {
        unsigned framebuffer = 0, color = 0;
        int width = 0, height = 0;
    } canvas_;
    bool input_ = true;
    std::vector<std::string> dropped_;
    std::mutex mutex_;  ///< guards woken_
    std::condition_variable condition_;
    bool woken_ = false;
};

}  // namespace moescope::app
