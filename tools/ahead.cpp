// SPDX-License-Identifier: Apache-2.0
#include "ahead.h"

#include <new>

namespace snap::tool {

Ahead::Ahead(std::function<Result<void>(ByteSink&)> make)
    : pipe_(make_pipe()), sink_(std::move(pipe_.write), &stop_), thread_([this, make = std::move(make)] {
        let_reader_go_first();
        try {
          made_ = make(sink_);
        } catch (const std::bad_alloc&) {
          made_ = Error{.code = Code::kNoMemory, .what = "out of memory"};
        }
        sink_.close();
      }) {}

Ahead::~Ahead() {
  stop_ = true;
  pipe_.read = Fd();
  if (thread_.joinable()) thread_.join();
}

Ahead::End Ahead::wait() {
  thread_.join();
  return {.made = made_, .not_taken = sink_.failed(), .bytes = sink_.taken_bytes()};
}

}  // namespace snap::tool
