// SPDX-License-Identifier: Apache-2.0
#include "server.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <thread>

#include "server_impl.h"
#include "snap/import.h"

namespace snap::view {

namespace {

constexpr std::size_t kManyOpen = 16;
constexpr std::size_t kRequestBytes = kMostRead + 4096;  // what is written, and its head
constexpr unsigned kOpeners = 4;  // some wait for a disk or a network; a libfuse before 3.17 has names of one folder looked up one by one

/// What libfuse has to say goes where we say things: it is one for the process, as is its way of telling.
ServerImpl* tells_for = nullptr;

/// Commas and backslashes are the option parser's own.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == ',' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

void tell(fuse_log_level level, const char* format, va_list arguments) {
  if (level > FUSE_LOG_WARNING || tells_for == nullptr) return;
  std::array<char, 512> text;
  std::vsnprintf(text.data(), text.size(), format, arguments);
  std::string message(text.data());
  while (message.ends_with('\n')) message.pop_back();
  tells_for->log(message);
}

}  // namespace

ServerImpl::~ServerImpl() {
  stop_helpers();
  if (session_ != nullptr) {
    fuse_session_unmount(session_);
    fuse_session_destroy(session_);
  }
  tells_for = nullptr;
}

void ServerImpl::stop_helpers() {
  cancel_ = true;
  lister_.reset();
  opener_.reset();
  slow_.reset();
  prefetcher_.reset();
  keeper_.reset();
}

void ServerImpl::detach() {
  cancel_ = true;
  // By now another mount may be there, and this one out of sight.
  struct stat status {};
  if (::stat(directory_.c_str(), &status) == 0 && device_ != 0 && status.st_dev != device_) return;
  if (const int error = unmount(directory_, true); error > 0 && error != EINVAL) log(directory_ + ": cannot unmount: " + std::strerror(error));
}

// ---- Trees ----

std::shared_ptr<Tree> ServerImpl::open_tree(std::shared_ptr<Source> source) {
  auto tree = std::make_unique<Tree>(std::move(source), options_.threads, cancel_);
  budget_.add(tree->reader());
  return {tree.release(), [this](Tree* last) {
            budget_.remove(last->reader());
            delete last;
          }};
}

// One looks, and all who asked meanwhile have the answer: where that takes long, they do not keep those busy who look at others.
void ServerImpl::ask_shelf(fuse_req_t request, const std::string& name) {
  const std::lock_guard lock(shelf_mutex_);
  OnShelf& known = taken_[name];
  known.waiting.push_back(request);
  if (known.busy) return;
  try {
    opener_->then([this, name] { look_at_shelf(name); });
    known.busy = true;
  } catch (...) {
    known.waiting.pop_back();
    throw;
  }
}

void ServerImpl::look_at_shelf(const std::string& name) {
  std::shared_ptr<Tree> found;
  try {
    if (fuse_session_exited(session_) == 0) found = from_shelf(name);
  } catch (...) {
    log(options_.name + ": " + name + ": cannot be opened now");
  }
  std::vector<fuse_req_t> waiting;
  {
    const std::lock_guard lock(shelf_mutex_);
    OnShelf& known = taken_[name];
    waiting.swap(known.waiting);
    known.busy = false;
    if (!found) taken_.erase(name);
  }
  for (const fuse_req_t request : waiting) {
    guarded(request, [&] { reply_lookup(request, {}, {found, Tree::kRoot}); });
  }
}

// A snapshot stays open for as long as the kernel remembers it, which may be for ever.
std::shared_ptr<Tree> ServerImpl::from_shelf(const std::string& name) {
  const std::string identity = shelf_->identity(name);
  if (identity.empty()) return nullptr;
  {
    const std::lock_guard lock(shelf_mutex_);
    const OnShelf& known = taken_[name];
    if (auto open = known.identity == identity ? known.tree.lock() : nullptr) {
      open->note_used();
      return open;
    }
    if (taken_.size() > kManyOpen) keeper_->hurry();
  }
  auto source = shelf_->open(name);
  if (!source) return nullptr;
  auto open = open_tree(std::move(source));
  const std::lock_guard lock(shelf_mutex_);
  taken_[name].identity = identity;
  taken_[name].tree = open;
  return open;
}

void ServerImpl::let_go_of_idle() {
  constexpr std::chrono::seconds kIdle(10), kIdleOfMany(0);
  std::vector<std::string> idle;
  {
    const std::lock_guard lock(shelf_mutex_);
    std::erase_if(taken_, [](const auto& each) { return !each.second.busy && each.second.tree.expired(); });
    for (const auto& [name, known] : taken_) {
      const auto tree = known.tree.lock();
      if (tree && tree->idle_for(taken_.size() > kManyOpen ? kIdleOfMany : kIdle)) idle.push_back(name);
    }
  }
  for (const std::string& name : idle) fuse_lowlevel_notify_inval_entry(session_, FUSE_ROOT_ID, name.c_str(), name.size());
}

Place ServerImpl::child(const Place& folder, const char* name) {
  const std::size_t found = folder.tree->find(folder.node, name);
  if (found == 0) return {};
  if (folder.tree->node(found).kind == NodeKind::kSameFile) return {folder.tree, folder.tree->node(found).same};
  if (folder.tree->node(found).kind == NodeKind::kParent) return {folder.tree->parent(), Tree::kRoot};
  return {folder.tree, found};
}

struct stat ServerImpl::attributes(std::uint64_t inode, const Place& place) const {
  constexpr mode_t kForAll = 0111;
  const struct stat& like = place.tree ? place.tree->source().status() : shelf_->status();
  struct stat status {};
  status.st_ino = inode;
  status.st_uid = like.st_uid;
  status.st_gid = like.st_gid;
  status.st_atim = like.st_mtim;
  status.st_mtim = like.st_mtim;
  status.st_ctim = like.st_mtim;
  status.st_nlink = 1;
  status.st_blksize = kReadAhead;
  const mode_t readable = like.st_mode & 0444;
  if (!place.tree || place.tree->node(place.node).kind == NodeKind::kFolder) {
    status.st_mode = S_IFDIR | readable | (readable >> 2 & kForAll);
    status.st_nlink = 2;
  } else if (const Node& node = place.tree->node(place.node); node.kind == NodeKind::kLink) {
    status.st_mode = S_IFLNK | 0777;
    status.st_size = static_cast<off_t>(node.target.size());
  } else {
    // QEMU opens memory files for writing also where it maps them for itself. A shared mapping could be written: by nobody but who may write the snapshot.
    status.st_mode = S_IFREG | readable | (like.st_mode & 0222);
    status.st_size = static_cast<off_t>(node.file->size());
    status.st_blocks = static_cast<blkcnt_t>(node.file->stored_bytes() / 512);
  }
  return status;
}

void ServerImpl::log(const std::string& message) {
  if (options_.log) options_.log(message);
}

bool ServerImpl::mount(const std::string& directory) {
  tells_for = this;
  fuse_set_log_func(tell);
  directory_ = directory;
  std::string mount_options = "nosuid,nodev,default_permissions,subtype=vmsnap,max_read=" + std::to_string(kMostRead) + ",fsname=" + escaped(options_.name);
  if (options_.allow_other) mount_options += ",allow_other";
  if (options_.read_only) mount_options += ",ro";
  char* words[] = {const_cast<char*>("vmsnap"), const_cast<char*>("-o"), mount_options.data()};
  fuse_args arguments = FUSE_ARGS_INIT(3, words);
  session_ = fuse_session_new(&arguments, &operations(), sizeof(fuse_lowlevel_ops), this);
  fuse_opt_free_args(&arguments);
  if (session_ == nullptr) return false;
  if (fuse_session_mount(session_, directory.c_str()) != 0) return false;
  prefetcher_ = std::make_unique<Prefetcher>(session_, std::min(options_.threads, 2u));
  return true;
}

// By a read of our own: libfuse's complains where the mount ends just when it takes a request.
void ServerImpl::answer(char* memory) {
  while (!fuse_session_exited(session_)) {
    const ssize_t got = ::read(fuse_session_fd(session_), memory, kRequestBytes);
    const bool is_nothing = got < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT);  // who asked has gone
    if (is_nothing) continue;
    if (got <= 0) {
      if (got < 0 && errno != ENODEV && errno != ECONNABORTED) failed_ = true;
      fuse_session_exit(session_);
      break;
    }
    fuse_buf request{};
    request.mem = memory;
    request.size = static_cast<std::size_t>(got);
    fuse_session_process_buf(session_, &request);
  }
  prefetcher_->stop();
}

// A server can ask for less than the kernel's own in its first answer, and for more only here, as root; files opened from now on have it.
void ServerImpl::set_read_ahead() {
  if (options_.record && !options_.read_ahead_bytes) return;  // it is to have what was touched, not what lies around that
  const std::string path = "/sys/class/bdi/" + std::to_string(major(device_)) + ":" + std::to_string(minor(device_)) + "/read_ahead_kb";
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  const std::string text = std::to_string(options_.read_ahead_bytes.value_or(kReadAhead) / 1024);
  const bool is_set = fd >= 0 && ::write(fd, text.data(), text.size()) >= 0;
  if (!is_set && options_.read_ahead_bytes) log(path + ": cannot set the read-ahead: " + std::strerror(errno));
  if (fd >= 0) ::close(fd);
}

/// The kernel has to know a file before it takes its memory; main memory is what a VMM will map.
void ServerImpl::touch_main_memory() {
  const auto main = main_memory(root_->reader());
  if (!main) return;
  for (std::size_t i = 0; i < root_->size(); ++i) {
    const Node& node = root_->node(i);
    const bool is_main = node.file && node.file->stretches().size() == 1 && node.file->size() == root_->reader().regions()[*main].size &&
                         node.file->stretches()[0].region == *main && root_->node(node.up).name == "regions";
    struct stat status {};
    const std::string path = directory_ + "/regions/" + node.name;
    if (is_main && ::stat(path.c_str(), &status) == 0) prefetch(status.st_ino, root_, *node.file);
  }
}

bool ServerImpl::serve(const std::function<void()>& ready) {
  keeper_ = std::make_unique<Housekeeper>(session_, [this] { let_go_of_idle(); });
  slow_ = std::make_unique<Workers>(1u);
  if (shelf_) {
    opener_ = std::make_unique<Workers>(kOpeners);
    lister_ = std::make_unique<Workers>(1u);
  }
  std::vector<std::thread> threads;
  try {
    threads.reserve(options_.threads);
    while (threads.size() < options_.threads) {
      threads.emplace_back([this, memory = std::make_unique_for_overwrite<char[]>(kRequestBytes)] { answer(memory.get()); });
    }
  } catch (const std::exception& error) {
    log(options_.name + ": served by " + std::to_string(threads.size()) + " threads only: " + error.what());
  }
  struct stat status {};
  if (!threads.empty() && ::stat(directory_.c_str(), &status) == 0) device_ = status.st_dev;
  if (device_ != 0) set_read_ahead();
  try {
    if (root_ && options_.prefetch && !threads.empty()) {
      touch_main_memory();
      prefetcher_->wait();
    }
    if (!cancel_ && fuse_session_exited(session_) == 0) ready();
  } catch (const std::exception& error) {
    log(options_.name + ": " + error.what());
  }
  if (threads.empty()) answer(std::make_unique_for_overwrite<char[]>(kRequestBytes).get());
  for (std::thread& each : threads) each.join();
  stop_helpers();
  return !failed_;
}

template <typename What>
std::unique_ptr<Server> mount_any(std::shared_ptr<What> what, const std::string& directory, ServerOptions options) {
  auto server = std::make_unique<ServerImpl>(std::move(what), std::move(options));
  if (!server->mount(directory)) return nullptr;
  return server;
}

std::unique_ptr<Server> Server::mount(std::shared_ptr<Source> source, const std::string& directory, ServerOptions options) {
  return mount_any(std::move(source), directory, std::move(options));
}

std::unique_ptr<Server> Server::mount(std::shared_ptr<Shelf> shelf, const std::string& directory, ServerOptions options) {
  return mount_any(std::move(shelf), directory, std::move(options));
}

}  // namespace snap::view
