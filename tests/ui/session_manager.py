# SPDX-License-Identifier: Apache-2.0
"""A desktop's session manager for the session of a test: it is asked not to suspend the computer.

Run as a program it prints a line "inhibit COOKIE FLAGS REASON" or "uninhibit COOKIE" for each request."""
import sys
from gi.repository import Gio, GLib

INTERFACES = '''<node><interface name="org.gnome.SessionManager">
  <method name="RegisterClient"><arg type="s" direction="in"/><arg type="s" direction="in"/><arg type="o" direction="out"/></method>
  <method name="UnregisterClient"><arg type="o" direction="in"/></method>
  <method name="Inhibit">
    <arg type="s" direction="in"/><arg type="u" direction="in"/><arg type="s" direction="in"/><arg type="u" direction="in"/>
    <arg type="u" direction="out"/>
  </method>
  <method name="Uninhibit"><arg type="u" direction="in"/></method>
  <method name="IsInhibited"><arg type="u" direction="in"/><arg type="b" direction="out"/></method>
</interface><interface name="org.gnome.SessionManager.ClientPrivate">
  <method name="EndSessionResponse"><arg type="b" direction="in"/><arg type="s" direction="in"/></method>
</interface></node>'''
CLIENT = '/org/gnome/SessionManager/Client1'
last = 0

def on_call(connection, sender, path, interface, method, arguments, invocation):
    global last
    answer = None
    if method == 'RegisterClient': answer = GLib.Variant('(o)', (CLIENT,))
    elif method == 'Inhibit':
        last += 1
        print('inhibit %d %d %s' % (last, arguments[3], arguments[2]), flush=True)
        answer = GLib.Variant('(u)', (last,))
    elif method == 'Uninhibit': print('uninhibit %d' % arguments[0], flush=True)
    elif method == 'IsInhibited': answer = GLib.Variant('(b)', (False,))
    invocation.return_value(answer)

def on_bus(connection, name):
    node = Gio.DBusNodeInfo.new_for_xml(INTERFACES)
    connection.register_object('/org/gnome/SessionManager', node.interfaces[0], on_call)
    connection.register_object(CLIENT, node.interfaces[1], on_call)

def on_name(connection, name):
    print('ready', flush=True)

if __name__ == '__main__':
    Gio.bus_own_name(Gio.BusType.SESSION, 'org.gnome.SessionManager', Gio.BusNameOwnerFlags.NONE, on_bus, on_name, lambda *a: sys.exit(1))
    GLib.MainLoop().run()
