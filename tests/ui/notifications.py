# SPDX-License-Identifier: Apache-2.0
"""A desktop's notification service for the session of a test: without one GLib warns, and a warning ends the test.

Run as a program it prints a line "SUMMARY\tBODY\tFILE" for each notification, FILE being the picture on it."""
import sys
from gi.repository import Gio, GLib

INTERFACE = '''<node><interface name="org.freedesktop.Notifications">
  <method name="Notify">
    <arg type="s" direction="in"/><arg type="u" direction="in"/><arg type="s" direction="in"/><arg type="s" direction="in"/>
    <arg type="s" direction="in"/><arg type="as" direction="in"/><arg type="a{sv}" direction="in"/><arg type="i" direction="in"/>
    <arg type="u" direction="out"/>
  </method>
  <method name="CloseNotification"><arg type="u" direction="in"/></method>
  <method name="GetCapabilities"><arg type="as" direction="out"/></method>
  <method name="GetServerInformation">
    <arg type="s" direction="out"/><arg type="s" direction="out"/><arg type="s" direction="out"/><arg type="s" direction="out"/>
  </method>
</interface></node>'''
last = 0

def on_call(connection, sender, path, interface, method, arguments, invocation):
    global last
    answer = None
    if method == 'Notify':
        last += 1
        print('%s\t%s\t%s' % (arguments[3], arguments[4], arguments[6].get('image-path', '')), flush=True)
        answer = GLib.Variant('(u)', (last,))
    elif method == 'GetCapabilities':
        answer = GLib.Variant('(as)', (['body', 'actions'],))
    elif method == 'GetServerInformation':
        answer = GLib.Variant('(ssss)', ('tests', 'tests', '1', '1.2'))
    invocation.return_value(answer)

def on_bus(connection, name):
    connection.register_object('/org/freedesktop/Notifications', Gio.DBusNodeInfo.new_for_xml(INTERFACE).interfaces[0], on_call)

def on_name(connection, name):
    print('ready', flush=True)

if __name__ == '__main__':
    Gio.bus_own_name(Gio.BusType.SESSION, 'org.freedesktop.Notifications', Gio.BusNameOwnerFlags.NONE, on_bus, on_name, lambda *a: sys.exit(1))
    GLib.MainLoop().run()
